/** Set-up of every test file: a failing test says how to run exactly it again. */
import { afterEach } from 'vitest'
import { multiplier, seed } from './random.ts'

afterEach(({ task }) => {
  if (task.result?.state !== 'fail') return
  const pattern = task.fullTestName.replaceAll(/[*+?^${}()|[\]\\'"`!]/g, '.').replaceAll(' > ', '.*')
  console.error(`replay: VARVE_SEED=${seed} VARVE_RUNS=${multiplier} npx vitest run ${task.file.name} -t '${pattern}'`)
})

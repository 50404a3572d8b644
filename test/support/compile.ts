/** Compiles parts of src/ as they are now, for tests whose other processes and threads cannot read TypeScript. */
import { spawnSync } from 'node:child_process'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { root } from './markdown.ts'

/** JavaScript of some sources, inside the package so that its dependencies resolve. */
export interface Compiled {
  /** The path of the module made from `src/<name>`, where `name` ends in `.ts`. */
  path(name: string): string
  dispose(): void
}

/** Compiles files of src/ and all they import. Type errors are not reported: `npm run types` does that. */
export function compile(label: string, names: readonly string[]): Compiled {
  const directory = join(root, '.snippets', `${label}-${process.pid}`)
  mkdirSync(directory, { recursive: true })
  const compilerOptions = {
    ...{ noEmit: false, noCheck: true, declaration: false, isolatedDeclarations: false, sourceMap: false },
    ...{ rootDir: join(root, 'src'), outDir: join(directory, 'out'), paths: {} },
  }
  const files = [...names.map((name) => join(root, 'src', name)), join(root, 'src/storage/fs-ext.d.ts')]
  const config = { extends: '../../tsconfig.json', compilerOptions, files, include: [] }
  writeFileSync(join(directory, 'tsconfig.json'), JSON.stringify(config))
  const { error } = spawnSync(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', directory])
  if (error !== undefined) throw error
  return {
    path: (name) => join(directory, 'out', name.replace(/\.ts$/, '.js')),
    dispose: () => rmSync(directory, { recursive: true, force: true }),
  }
}

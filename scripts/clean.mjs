/** Removes what builds leave behind, so that nothing of a deleted source is ever published. */
import { rmSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

for (const directory of ['dist', '.examples', '.snippets']) {
  rmSync(fileURLToPath(new URL(`../${directory}`, import.meta.url)), { recursive: true, force: true })
}

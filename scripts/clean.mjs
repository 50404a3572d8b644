/** Removes dist/ before a package is made, so that nothing of a deleted source is ever published. */
import { rmSync } from 'node:fs'

rmSync(new URL('../dist', import.meta.url), { recursive: true, force: true })

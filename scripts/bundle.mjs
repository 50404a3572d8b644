/**
 * Makes JavaScript from sources, in a few files instead of one for each: a program that imports them starts sooner.
 * Functions keep their names, and source maps lead to the sources. Types are the work of tsc.
 */
import { isAbsolute } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'rolldown'

const root = fileURLToPath(new URL('..', import.meta.url))

/**
 * @param {Record<string, string>} input sources by the name of the file that is made of each; what they share stands beside
 * @param {string} dir where, from the root of the repository
 */
export async function bundle(input, dir) {
  await build({
    cwd: root,
    input,
    platform: 'node',
    // Whatever is no file of ours: modules of Node and dependencies.
    external: (id) => !id.startsWith('.') && !isAbsolute(id),
    transform: { target: 'node20.19' },
    output: { dir, format: 'esm', sourcemap: true, comments: false, chunkFileNames: '[name].js' },
    logLevel: 'warn',
  })
}

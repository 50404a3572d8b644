import { runTask } from '../support/children.mjs'
import { ENTRY_BYTES } from '../support/data.mjs'
import { installedPeers } from '../support/peers.mjs'
import { freshPath, removePath } from '../support/scratch.mjs'

const LIMIT = 1.2

/** @type {import('./index.mjs').Workload} */
export const diskSize = {
  name: 'disk-size',
  group: 'durable',
  title: `Bytes on disk per entry of ${ENTRY_BYTES} bytes, after everything was compacted and closed`,
  async run({ count, notes }) {
    const { level } = await installedPeers(notes)
    const sizes = new Map()
    for (const contestant of level ? ['classic-level', 'varve'] : ['varve']) {
      const path = freshPath('size')
      sizes.set(contestant, await runTask('fillAndCompact', { contestant, path, count }))
      removePath(path)
    }
    const work = `size on disk, ${count} entries`
    const against = 'classic-level'
    const row = (contestant, part, of) => {
      const figure = sizes.get(contestant)[part] / count
      const compared =
        contestant === against || !sizes.has(against)
          ? {}
          : {
              against: `${against}, ${of}`,
              ratio: figure / (sizes.get(against)[part] / count),
              target: LIMIT,
              sense: /** @type {const} */ ('atMost'),
            }
      return { work, contestant: `${contestant}, ${of}`, figure, unit: 'B', ...compared }
    }
    return [...sizes.keys()].flatMap((contestant) => [
      row(contestant, 'tables', 'tables'),
      row(contestant, 'total', 'whole directory'),
    ])
  },
}

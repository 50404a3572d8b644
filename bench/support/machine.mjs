/** Where the figures come from. */

import { readFileSync } from 'node:fs'
import { arch, availableParallelism, cpus, loadavg, platform, release, totalmem } from 'node:os'

const GIB = 2 ** 30

/** @returns {Record<string, string>} */
export function machineFacts() {
  const model = cpus()[0]?.model.trim() ?? 'unknown processor'
  return {
    processor: `${model}, ${availableParallelism()} threads`,
    memory: `${(totalmem() / GIB).toFixed(1)} GiB`,
    system: `${platform()} ${release()} ${arch()}`,
    node: `${process.version}, V8 ${process.versions.v8}`,
    load: `${loadavg()
      .map((load) => load.toFixed(2))
      .join(' ')} (1, 5, 15 minutes before the start)`,
    peers: peerVersions(),
  }
}

function peerVersions() {
  const { dependencies, optionalDependencies } = JSON.parse(
    readFileSync(new URL('../package.json', import.meta.url), 'utf8'),
  )
  return Object.entries({ ...dependencies, ...optionalDependencies })
    .map(([name, version]) => `${name} ${version}`)
    .join(', ')
}

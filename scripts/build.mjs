/** Makes the JavaScript of the package: what it exports, and the worker, which is started by its path beside who starts it. */
import { bundle } from './bundle.mjs'

await bundle(
  {
    index: 'src/index.ts',
    'skiplist/index': 'src/skiplist/index.ts',
    'maplet/index': 'src/maplet/index.ts',
    testing: 'src/testing.ts',
    'varve-runs-worker': 'src/runs/varve-runs-worker.ts',
  },
  'dist',
)

/** The package's own part of its bundle: the Worker's program, which bundlers look for beside the module, is in `standalone`. */
import type { Plugin } from 'rolldown'

const SOURCE = "new URL('./machine-worker.js', import.meta.url)"

export const plugins: readonly Plugin[] = [
  {
    name: 'retrap:standalone-worker',
    transform(code, id) {
      if (!id.replaceAll('\\', '/').endsWith('/web/src/worker-link.ts')) return null
      if (!code.includes(SOURCE)) throw new Error(`${id} does not start its Worker by ${SOURCE}`)
      // Nothing moves to another line: the map stays right.
      return { code: code.replace(SOURCE, SOURCE.replace('./', './standalone/')), map: null }
    },
  },
]

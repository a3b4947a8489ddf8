// Makes the change that RETRAP_MUTATION names in a module that Node itself loads, as the threads of a test do: see mutate.ts.
import { readFileSync } from 'node:fs'
import { registerHooks } from 'node:module'
import { pathToFileURL } from 'node:url'

const { file, start, end, replacement } = JSON.parse(process.env['RETRAP_MUTATION'] ?? '{}') as Record<string, never>
const changed = file === undefined ? undefined : pathToFileURL(file).href

registerHooks({
  load(url, context, nextLoad) {
    if (url.split('?')[0] !== changed) return nextLoad(url, context)
    const text = readFileSync(file!, 'utf8')
    return {
      format: 'module-typescript',
      source: text.slice(0, start) + String(replacement) + text.slice(end),
      shortCircuit: true,
    }
  },
})

// Source files of places in built modules, by the source maps that lie beside them.
import { readFileSync } from 'node:fs'
import { SourceMap, type SourceMapPayload } from 'node:module'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { FileOf } from './samples.ts'

const ROOT = fileURLToPath(new URL('../../../../', import.meta.url))

/** Names sources as they lie in the repository, such as `packages/engine/src/tlb.ts`; a module without a map by itself. */
export function sourceNames(): FileOf {
  const maps = new Map<string, SourceMap | undefined>()
  return (url, line, column) => {
    if (!url.startsWith('file:')) return url
    const path = fileURLToPath(url)
    if (!maps.has(path)) maps.set(path, mapOf(path))
    const entry = maps.get(path)?.findEntry(line - 1, column - 1)
    const source = entry !== undefined && 'originalSource' in entry ? entry.originalSource : undefined
    return relative(ROOT, source === undefined ? path : join(dirname(path), source))
  }
}

function mapOf(path: string): SourceMap | undefined {
  try {
    return new SourceMap(JSON.parse(readFileSync(`${path}.map`, 'utf8')) as SourceMapPayload)
  } catch {
    return undefined
  }
}

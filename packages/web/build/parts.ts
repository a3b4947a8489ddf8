/**
 * Files of a program that loads parts of itself later, in a form that survives every bundler: Vite bundles the program of a Worker
 * as one classic script unless it is told otherwise, and refuses `import()` of modules that it knows. The program here has no such
 * import. It names the files of its parts by `new URL(…, import.meta.url)`, as an asset is named, and parts import nothing: the
 * program gives them what they need. Browsers load the same files as they are.
 */
import type { OutputChunk } from 'rolldown'

/** The most that a page without a bundler loads when it starts a machine: the module and the Worker's program, gzipped, in bytes. */
export const MOST_FIRST_BYTES = 363_000

/** A smaller chunk joins a common part. Vite turns assets under 4 KiB into `data:` addresses, which a policy may forbid. */
const SMALLEST_PART = 4608
const COMMON = 'chunk-common.js'

/** The part's file that holds a chunk. */
const partOf = ({ fileName, code }: OutputChunk): string => (code.length < SMALLEST_PART ? COMMON : fileName)

/**
 * Writes the files of a program.
 *
 * @param chunks - CommonJS: one entry, which imports no chunk at its start, and what it loads by `import()`
 * @returns contents of files by name
 * @throws Error for a chunk that imports a file outside
 */
export function programFiles(chunks: readonly OutputChunk[]): Map<string, string> {
  const byName = new Map(chunks.map((chunk) => [chunk.fileName, chunk]))
  const found = (name: string, of: OutputChunk): OutputChunk => {
    const chunk = byName.get(name)
    if (chunk === undefined) throw new Error(`${of.fileName} imports ${name}, which no page can`)
    return chunk
  }
  const program = chunks.find(({ isEntry }) => isEntry)!
  if (byName.has(COMMON) || program.imports.length > 0)
    throw new Error(`${program.fileName} imports chunks at its start, or one of them is named ${COMMON}`)
  /** The chunks that `chunk` is linked with, itself included. */
  const linked = (chunk: OutputChunk): OutputChunk[] => {
    const all = new Set([chunk])
    for (const one of all) for (const name of one.imports) if (name !== program.fileName) all.add(found(name, one))
    return [...all]
  }
  const later = new Set(chunks.flatMap((one) => one.dynamicImports.map((name) => found(name, one))))
  const parts = Map.groupBy(
    chunks.filter((chunk) => chunk !== program),
    partOf,
  )
  const files = new Map<string, string>()
  for (const [file, members] of parts)
    files.set(
      file,
      `export default{${members.map(({ fileName, code }) => `"./${fileName}"(require,exports){${code}}`).join(',\n')}}\n`,
    )
  const needs = [...later].map((chunk) => [`./${chunk.fileName}`, [...new Set(linked(chunk).map(partOf))]])
  const loads = [...parts.keys()].map((file) => `"${file}":${loadOf(file)}`)
  return files.set(
    program.fileName,
    [
      `const exports={};const require=(${String(linker)})({"./${program.fileName}":exports},${JSON.stringify(Object.fromEntries(needs))},`,
      `{${loads.join(',\n')}});`,
      program.code,
    ].join('\n'),
  )
}

/** Bundlers put the file's address in the place of `new URL`, and leave the import alone. */
const loadOf = (file: string): string =>
  `()=>import(/* @vite-ignore */ /* webpackIgnore: true */ new URL("./${file}",import.meta.url).href)`

type Exports = Record<string, unknown>
/** Runs a chunk's code, which fills `exports`. */
type Chunk = (require: (name: string) => Exports | Promise<Exports>, exports: Exports) => void

/**
 * Stands in the program, as text: it may use nothing but its parameters.
 *
 * @param linked - exports of chunks that have run
 * @param needs - files of parts that each chunk has to have, for chunks that are loaded by `import()`
 * @param loads - load the files of parts
 * @returns `require`; a promise for a chunk that is loaded first, which is so for `import()` alone
 */
function linker(
  linked: Record<string, Exports>,
  needs: Readonly<Record<string, readonly string[]>>,
  loads: Readonly<Record<string, () => Promise<{ readonly default: Readonly<Record<string, Chunk>> }>>>,
): (name: string) => Exports | Promise<Exports> {
  const chunks: Record<string, Chunk> = {}
  const loaded = new Set<string>()
  const link = (name: string): Exports => {
    if (linked[name] === undefined) chunks[name]!(require, (linked[name] = {}))
    return linked[name]!
  }
  const load = async (file: string): Promise<void> => {
    Object.assign(chunks, (await loads[file]!()).default)
    loaded.add(file)
  }
  const require = (name: string): Exports | Promise<Exports> => {
    const missing = (needs[name] ?? []).filter((file) => !loaded.has(file))
    return missing.length === 0 ? link(name) : Promise.all(missing.map(load)).then(() => link(name))
  }
  return require
}

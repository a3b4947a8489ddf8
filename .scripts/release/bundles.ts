// What a program that uses one part of a package carries along, bundled as its author would: what it loads at its start,
// without the chunks that it asks for later by `import()`. The budgets are what a reader of the READMEs may rely on.
import { readFileSync, writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { gzipSync } from 'node:zlib'
import { MOST_FIRST_BYTES } from '../../packages/web/build/parts.ts'

/** One program of one line, and the most that it may weigh: minified and gzipped, in bytes. */
interface Budget {
  readonly name: string
  readonly imports: string
  readonly from: string
  readonly limit: number
  /** Whether what it asks for later counts as well; default false. */
  readonly whole?: boolean
}

const BUDGETS: readonly Budget[] = [
  { name: 'decode', imports: 'decodeInto, Instruction', from: '@retrap/x86-decoder', limit: 25_000 },
  {
    name: 'decode-and-print',
    imports: 'decodeInto, Instruction, formatIntel',
    from: '@retrap/x86-decoder',
    limit: 65_000,
  },
  { name: 'assemble', imports: 'Assembler', from: '@retrap/x86-assembler', limit: 72_000 },
  { name: 'walk', imports: 'PagingContext, walk, WalkResult', from: '@retrap/paging', limit: 5_000 },
  { name: 'log', imports: 'AccessLog', from: '@retrap/replay', limit: 5_000 },
  { name: 'memory', imports: 'MachineMemory', from: '@retrap/memory', limit: 5_000 },
  { name: 'emit', imports: 'ModuleBuilder', from: '@retrap/wasm-emitter', limit: 11_200 },
  { name: 'device', imports: 'defineDevice', from: '@retrap/device', limit: 2_000 },
  { name: 'a64-text', imports: 'formatA64', from: '@retrap/arm-decoder', limit: 33_000 },
  { name: 'arm', imports: 'ArmEmulator', from: '@retrap/arm-mmio', limit: 35_000 },
  { name: 'scsi', imports: 'performScsi, ScsiDisk', from: '@retrap/scsi', limit: 4_000 },
  { name: 'user-network', imports: 'UserNetwork', from: '@retrap/network', limit: 14_400 },
  { name: 'cpu', imports: 'Vcpu, X86Engine', from: '@retrap/x86-cpu', limit: 234_000 },
  { name: 'pc', imports: 'createPc', from: '@retrap/machine', limit: 411_000 },
  { name: 'pc-with-all-devices', imports: 'createPc', from: '@retrap/machine', limit: 643_000, whole: true },
]

/** The programs of the package for pages without a bundler, and the most that a page loads when it starts a machine. */
const STANDALONE = { programs: ['index.js', 'machine-worker.js'], limit: MOST_FIRST_BYTES }

/** Bundles all packages and each budget's program with esbuild and vite. Prints the sizes; returns the problems. */
export async function bundleProblems(folder: string, libraries: readonly string[]): Promise<string[]> {
  const problems: string[] = []
  const all = libraries.map((name, i) => `import * as p${i} from '${name}'\nconsole.log(p${i})`).join('\n')
  const programs = [
    { name: 'everything', code: all, limit: Number.POSITIVE_INFINITY, whole: true },
    ...BUDGETS.map(({ name, imports, from, limit, whole = false }) => ({
      name,
      code: `export { ${imports} } from '${from}'`,
      limit,
      whole,
    })),
  ]
  for (const { name, code, limit, whole } of programs) {
    const entry = join(folder, `${name}.entry.js`)
    writeFileSync(entry, `${code}\n`)
    for (const [bundler, bundle] of [
      ['esbuild', withEsbuild],
      ['vite', withVite],
    ] as const) {
      const { chunks, first } = await bundle(entry, folder).catch((error: unknown) => {
        problems.push(`${bundler} cannot bundle ${name}: ${String(error)}`)
        return { chunks: new Map<string, Chunk>(), first: '' }
      })
      const size = gzipSync(text(chunks, whole ? [...chunks.keys()] : [first]), { level: 9 }).length
      console.log(
        `       ${name} (${bundler}): ${size} bytes${limit === Number.POSITIVE_INFINITY ? '' : ` of ${limit}`}`,
      )
      if (size > limit) problems.push(`${name} is ${size} bytes with ${bundler}; its budget is ${limit}`)
    }
  }
  return [...problems, ...(await standaloneProblems(join(folder, 'node_modules/@retrap/web/dist/standalone')))]
}

/** Weighs what pages without a bundler load, as it was published. Prints the size; returns the problems. */
async function standaloneProblems(folder: string): Promise<string[]> {
  const { programs, limit } = STANDALONE
  const { build } = await import('esbuild')
  const { metafile } = await build({
    entryPoints: programs,
    absWorkingDir: folder,
    outdir: folder,
    bundle: true,
    splitting: true,
    write: false,
    metafile: true,
    format: 'esm',
    target: 'es2022',
    logLevel: 'silent',
  })
  const chunks = Object.entries(metafile.inputs).map(([name, { imports }]): [string, Chunk] => [
    name,
    { text: readFileSync(join(folder, name), 'utf8'), imports: atOnce(imports) },
  ])
  const outside = chunks.flatMap(([name]) => (name.includes('/') ? [`the standalone build imports ${name}`] : []))
  const size = gzipSync(text(new Map(chunks), programs), { level: 9 }).length
  console.log(`       standalone: ${size} bytes of ${limit}`)
  if (size > limit) outside.push(`a page without a bundler loads ${size} bytes; its budget is ${limit}`)
  return outside
}

/** The names of those imports that are no `import()`. */
const atOnce = (imports: readonly { readonly path: string; readonly kind: string }[]): string[] =>
  imports.filter(({ kind }) => kind === 'import-statement').map(({ path }) => path)

/** A file of a bundle, and those that it imports at once. */
interface Chunk {
  readonly text: string
  readonly imports: readonly string[]
}

/** The files of a bundle by name, and the one of the program. */
interface Bundle {
  readonly chunks: ReadonlyMap<string, Chunk>
  readonly first: string
}

/** The text of these chunks and of all that they import, one after the other. */
function text(chunks: ReadonlyMap<string, Chunk>, entries: readonly string[]): string {
  const names = new Set(entries)
  // A set is walked in order, with what is added on the way.
  for (const name of names) for (const next of chunks.get(name)?.imports ?? []) names.add(next)
  return [...names].map((name) => chunks.get(name)?.text ?? '').join('\n')
}

async function withEsbuild(entry: string, folder: string): Promise<Bundle> {
  const { build } = await import('esbuild')
  const { outputFiles, metafile } = await build({
    entryPoints: [entry],
    absWorkingDir: folder,
    outdir: folder,
    bundle: true,
    splitting: true,
    minify: true,
    write: false,
    metafile: true,
    format: 'esm',
    target: 'es2022',
    logLevel: 'silent',
  })
  const texts = new Map(outputFiles.map(({ path, text }) => [relative(folder, path), text]))
  const chunks = Object.entries(metafile.outputs).map(([name, { imports }]): [string, Chunk] => [
    name,
    {
      text: texts.get(name) ?? '',
      imports: atOnce(imports),
    },
  ])
  const first = Object.entries(metafile.outputs).find(([, { entryPoint }]) => entryPoint === relative(folder, entry))
  if (first === undefined) throw new Error('esbuild gave no bundle')
  return { chunks: new Map(chunks), first: first[0] }
}

async function withVite(entry: string, folder: string): Promise<Bundle> {
  const { build } = await import('vite')
  const result = await build({
    root: folder,
    configFile: false,
    logLevel: 'silent',
    build: {
      write: false,
      minify: true,
      target: 'es2024',
      modulePreload: false,
      rolldownOptions: { input: entry, preserveEntrySignatures: 'strict', output: { format: 'es' } },
    },
  })
  if (!('output' in result)) throw new Error('vite gave no bundle')
  const chunks = result.output.filter((file) => file.type === 'chunk')
  const files = chunks.map((file): [string, Chunk] => [file.fileName, { text: file.code, imports: file.imports }])
  const first = chunks.find(({ isEntry }) => isEntry)
  if (first === undefined) throw new Error('vite gave no bundle')
  return { chunks: new Map(files), first: first.fileName }
}

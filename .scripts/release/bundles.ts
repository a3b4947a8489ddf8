// What a program that uses one part of a package carries along, bundled as its author would. The budgets are what a
// reader of the READMEs may rely on.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'

/** One program of one line, and the most that it may weigh: minified and gzipped, in bytes. */
interface Budget {
  readonly name: string
  readonly imports: string
  readonly from: string
  readonly limit: number
}

const BUDGETS: readonly Budget[] = [
  { name: 'decode', imports: 'decodeInto, Instruction', from: '@retrap/x86-decoder', limit: 25_000 },
  {
    name: 'decode-and-print',
    imports: 'decodeInto, Instruction, formatIntel',
    from: '@retrap/x86-decoder',
    limit: 65_000,
  },
  { name: 'assemble', imports: 'Assembler', from: '@retrap/x86-assembler', limit: 100_000 },
  { name: 'walk', imports: 'PagingContext, walk, WalkResult', from: '@retrap/paging', limit: 5_000 },
  { name: 'log', imports: 'AccessLog', from: '@retrap/replay', limit: 5_000 },
  { name: 'memory', imports: 'MachineMemory', from: '@retrap/memory', limit: 5_000 },
  { name: 'emit', imports: 'ModuleBuilder', from: '@retrap/wasm-emitter', limit: 10_500 },
  { name: 'device', imports: 'defineDevice', from: '@retrap/device', limit: 2_000 },
  { name: 'arm', imports: 'ArmEmulator', from: '@retrap/arm-mmio', limit: 35_000 },
  { name: 'user-network', imports: 'UserNetwork', from: '@retrap/network', limit: 14_000 },
  { name: 'cpu', imports: 'Vcpu, X86Engine', from: '@retrap/x86-cpu', limit: 216_000 },
  { name: 'pc', imports: 'createPc', from: '@retrap/machine', limit: 480_000 },
]

/** Bundles all packages and each budget's program with esbuild and vite. Prints the sizes; returns the problems. */
export async function bundleProblems(folder: string, libraries: readonly string[]): Promise<string[]> {
  const problems: string[] = []
  const all = libraries.map((name, i) => `import * as p${i} from '${name}'\nconsole.log(p${i})`).join('\n')
  const programs = [
    { name: 'everything', code: all, limit: Number.POSITIVE_INFINITY },
    ...BUDGETS.map(({ name, imports, from, limit }) => ({ name, code: `export { ${imports} } from '${from}'`, limit })),
  ]
  for (const { name, code, limit } of programs) {
    const entry = join(folder, `${name}.entry.js`)
    writeFileSync(entry, `${code}\n`)
    for (const [bundler, bundle] of [
      ['esbuild', withEsbuild],
      ['vite', withVite],
    ] as const) {
      const text = await bundle(entry, folder).catch((error: unknown) => {
        problems.push(`${bundler} cannot bundle ${name}: ${String(error)}`)
        return ''
      })
      const size = gzipSync(text, { level: 9 }).length
      console.log(
        `       ${name} (${bundler}): ${size} bytes${limit === Number.POSITIVE_INFINITY ? '' : ` of ${limit}`}`,
      )
      if (size > limit) problems.push(`${name} is ${size} bytes with ${bundler}; its budget is ${limit}`)
    }
  }
  return problems
}

async function withEsbuild(entry: string, folder: string): Promise<string> {
  const { build } = await import('esbuild')
  const { outputFiles } = await build({
    entryPoints: [entry],
    absWorkingDir: folder,
    bundle: true,
    minify: true,
    write: false,
    format: 'esm',
    target: 'es2022',
    logLevel: 'silent',
  })
  return outputFiles[0]?.text ?? ''
}

async function withVite(entry: string, folder: string): Promise<string> {
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
  return result.output[0].code
}

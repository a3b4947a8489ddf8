// The programs of the benches jit and arm, and how they are built.
import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { writeCpio } from '@retrap/linux-guest/linux/cpio'

export type Width = 32 | 64

/** What a guest's programs are built with. */
export interface Compiler {
  readonly program: string
  /** Beside those of {@link Program}. */
  readonly flags: readonly string[]
}

/** A program of the bench. */
export interface Program {
  readonly name: string
  /** Which of the C files beside this one. */
  readonly source: string
  /** Beside `-O2 -static`. */
  readonly flags?: readonly string[]
  readonly args: readonly (number | string)[]
  /** The widths that it runs in; both unless given. */
  readonly widths?: readonly Width[]
  /** Counts for `jit fp`: SSE floating point. */
  readonly isFloat?: boolean
  /** Most of its time passes in the guest's kernel: such programs have a mean of their own. */
  readonly isSystem?: boolean
}

/** On 32-bit processors, floating point in SSE registers as on 64-bit ones. */
const SSE = ['-msse2', '-mfpmath=sse']
const X87 = ['-mfpmath=387']

/** In the order in which the guest runs them. */
export const PROGRAMS: readonly Program[] = [
  { name: 'sha256', source: 'sha256', args: [50] },
  { name: 'sieve', source: 'sieve', args: [8] },
  { name: 'records', source: 'records', args: [8_000_000] },
  { name: 'quicksort', source: 'quicksort', args: [2] },
  { name: 'chase-cache', source: 'chase', args: [16, 200] },
  { name: 'chase-memory', source: 'chase', args: [65_536, 5] },
  { name: 'bytecode', source: 'bytecode', args: [8_000] },
  { name: 'nbody', source: 'nbody', flags: SSE, args: [300], isFloat: true },
  { name: 'nbody-x87', source: 'nbody', flags: X87, args: [60] },
  { name: 'matmul-sse', source: 'matmul', flags: SSE, args: [8], isFloat: true },
  { name: 'matmul-x87', source: 'matmul', flags: X87, args: [2] },
  {
    name: 'matmul-avx2',
    source: 'matmul',
    flags: ['-O3', '-mavx2', '-mfma', '-DREAL=float'],
    args: [16],
    widths: [64],
  },
  { name: 'mandelbrot-sse', source: 'mandelbrot', flags: SSE, args: [700], isFloat: true },
  { name: 'mandelbrot-x87', source: 'mandelbrot', flags: X87, args: [500] },
  { name: 'getpid', source: 'system', args: ['getpid', 1000], isSystem: true },
  { name: 'stat', source: 'system', args: ['stat', 100], isSystem: true },
  { name: 'page-faults', source: 'system', args: ['faults', 200], isSystem: true },
  { name: 'page-copies', source: 'system', args: ['copies', 100], isSystem: true },
  { name: 'pipe', source: 'system', args: ['pipe', 100], isSystem: true },
  { name: 'socket', source: 'system', args: ['socket', 20], isSystem: true },
  { name: 'threads', source: 'system', args: ['threads', 3000], isSystem: true },
  { name: 'fork', source: 'system', args: ['fork', 1000], isSystem: true },
  { name: 'strings', source: 'strings', args: [100] },
  { name: 'gzip', source: 'text', args: [] },
  { name: 'btree', source: 'btree', args: [300] },
]

/** The same for arm64, whose programs have one kind of floating point. */
export const ARM_PROGRAMS: readonly Program[] = PROGRAMS.filter(
  ({ flags }) => flags === undefined || flags === SSE,
).map((program) => ({ ...program, flags: [], name: program.name.replace(/-sse$/, '') }))

const MEBIBYTES_TO_COMPRESS = 32
const SOURCES = fileURLToPath(new URL('.', import.meta.url))
export const COMPILERS: Readonly<Record<Width, Compiler>> = {
  32: { program: 'i686-linux-gnu-gcc', flags: [] },
  64: { program: 'gcc', flags: [] },
}

/** A file of the guest's initramfs. */
export interface GuestFile {
  readonly path: string
  readonly data: Uint8Array
}

/**
 * Builds programs and the guest's first process.
 *
 * @param scratch - a folder for what the compiler writes
 */
export async function buildPrograms(
  programs: readonly Program[],
  compiler: Compiler,
  busybox: Uint8Array,
  scratch: string,
): Promise<readonly GuestFile[]> {
  const built = await Promise.all(
    programs.map(async ({ name, source, flags }) => ({
      path: `bench/${name}`,
      data: await compile(source, flags ?? [], compiler, join(scratch, name)),
    })),
  )
  const init = { path: 'init', data: await compile('init', [], compiler, join(scratch, 'init')) }
  const list = new TextEncoder().encode(programs.map((program) => `${listLines(program).join('\n')}\n`).join(''))
  return [init, { path: 'bench/list', data: list }, { path: 'bin/busybox', data: busybox }, ...built]
}

/** The archive that a guest boots from, of files of {@link buildPrograms}. */
export const initramfsOf = (files: readonly GuestFile[]): Uint8Array =>
  writeCpio([
    ...['bin', 'bench', 'dev', 'tmp'].map((path) => ({ kind: 'directory', path }) as const),
    { kind: 'character-device', path: 'dev/console', major: 5, minor: 1 },
    ...files.map(({ path, data }) => ({
      kind: 'file' as const,
      path,
      mode: path === 'bench/list' ? 0o644 : 0o755,
      data,
    })),
  ])

/** What init.c reads: NAME OUTPUT PROGRAM ARGUMENT... A name in brackets is not measured. */
function listLines({ name, args }: Program): readonly string[] {
  if (name !== 'gzip') return [`${name} - /bench/${name} ${args.join(' ')}`]
  return [
    `[text] /tmp/text /bench/gzip ${MEBIBYTES_TO_COMPRESS}`,
    `gzip /tmp/text.gz /bin/busybox gzip -c /tmp/text`,
    `[sum] - /bin/busybox md5sum /tmp/text.gz`,
  ]
}

/** Builds one of the C files beside this one, or one of `folder`. */
export async function compile(
  source: string,
  flags: readonly string[],
  compiler: Compiler,
  output: string,
  folder = SOURCES,
): Promise<Uint8Array> {
  const args = ['-O2', ...compiler.flags, ...flags, '-static', '-o', output, join(folder, `${source}.c`), '-lm']
  await promisify(execFile)(compiler.program, args)
  return readFile(output)
}

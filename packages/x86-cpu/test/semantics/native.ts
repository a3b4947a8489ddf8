import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, renameSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { OUT_BYTES } from './layout.ts'
import type { Batch, Mode } from './layout.ts'

const SOURCE = new URL('./native.c', import.meta.url).pathname
/** Position-independent, so that nothing lies in the low 4 GiB. */
const ARGUMENTS = ['-O2', '-fno-stack-protector', '-fPIE', '-pie', '-Wall', '-Wextra', '-Werror']

/** Features that /proc/cpuinfo calls otherwise than in lower case. */
const LINUX_NAMES: Readonly<Record<string, string>> = {
  CLFSH: 'clflush',
  LZCNT: 'abm',
  PREFETCHW: '3dnowprefetch',
  SHA: 'sha_ni',
  SSE3: 'pni',
}
/** What needs no flag: of every x86-64 processor, or a no-op or #UD where it is absent. */
const BASELINE = new Set([
  '',
  'CET_IBT',
  'SVM',
  'VMX',
  'SMAP',
  'SSE',
  'SSE2',
  'FXSR',
  'MMX',
  'FPU',
  'MSR',
  'PAUSE',
  'SEP',
  'SYSCALL',
  'TSC',
])

/** The program that runs cases on the host's CPU. */
export interface NativeCpu {
  /** Code that it can run. */
  readonly modes: readonly Mode[]
  /** Whether it has a CPUID feature, as x86-decoder names them. */
  has(feature: string): boolean
  /** @returns `batch.count` times OUT_BYTES */
  run(batch: Batch): Uint8Array
}

/**
 * Builds native.c, once per version of it, or says why that cannot be.
 */
export function nativeCpu(): NativeCpu | string {
  // qemu-user does not do instead: it ends in an assertion of its own at what the program does with signal frames.
  if (process.platform !== 'linux' || process.arch !== 'x64') return 'the reference is an x86-64 CPU under Linux'
  const compiler = 'gcc'
  const version = spawnSync(compiler, ['--version'], { encoding: 'utf8' })
  if (version.status !== 0) return `no ${compiler} to build the reference with`
  const hash = createHash('sha256').update(readFileSync(SOURCE)).update(version.stdout).update(ARGUMENTS.join(' '))
  const folder = join(tmpdir(), 'retrap-semantics')
  mkdirSync(folder, { recursive: true })
  const program = join(folder, hash.digest('hex').slice(0, 16))
  if (!existsSync(program)) {
    const fresh = `${program}.${process.pid}`
    const built = spawnSync(compiler, [...ARGUMENTS, '-o', fresh, SOURCE], { encoding: 'utf8' })
    if (built.status !== 0) return `${compiler} cannot build the reference: ${built.stderr}`
    renameSync(fresh, program)
  }
  // A kernel may be without local descriptor tables.
  const modes: readonly Mode[] = spawnSync(program, ['16-bit']).status === 0 ? [16, 32, 64] : [32, 64]
  const flags = new Set(/^flags\s*:(.*)$/m.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1]?.split(' '))
  const has = (feature: string): boolean =>
    feature.split('+').every((one) => flags.has(LINUX_NAMES[one] ?? one.toLowerCase()) || BASELINE.has(one))
  return { modes, has, run: (batch) => runWith(program, batch) }
}

function runWith(program: string, batch: Batch): Uint8Array {
  const header = Buffer.alloc(16)
  header.writeUInt32LE(batch.code.length, 4)
  header.writeUInt32LE(batch.count, 8)
  const expected = batch.count * OUT_BYTES
  const result = spawnSync(program, [], {
    input: Buffer.concat([header, batch.code, batch.cases]),
    maxBuffer: expected + 0x1000,
    timeout: 70_000,
  })
  if (result.status !== 0 || result.stdout.length !== expected) {
    const how = result.error?.message ?? result.signal ?? `status ${result.status}`
    throw new Error(
      `the reference ended with ${how}, ${result.stdout.length} of ${expected} bytes: ${result.stderr.toString()}`,
    )
  }
  return result.stdout
}

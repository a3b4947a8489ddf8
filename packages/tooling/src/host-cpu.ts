/** The host's processor, for tests that compare with it: an x86-64 under Linux, by programs that gcc builds. */
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, renameSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** CPUID features as x86-decoder names them → Linux's names in /proc/cpuinfo, where lower case is not enough. */
const LINUX_NAMES: Readonly<Record<string, string>> = {
  AVX512_IFMA: 'avx512ifma',
  AVX512_VBMI: 'avx512vbmi',
  CLFSH: 'clflush',
  LZCNT: 'abm',
  PREFETCHW: '3dnowprefetch',
  SHA: 'sha_ni',
  SSE3: 'pni',
}

/** The kernel's description of the processor. */
export interface HostCpu {
  /** Vendor string of CPUID: `GenuineIntel`, `AuthenticAMD`. */
  readonly vendor: string
  readonly family: number
  /** Whether the processor has all features of `CodeInfo.feature`, which are joined by `+`; an empty string needs none. */
  has(feature: string): boolean
}

/**
 * Returns the host's processor, or why tests cannot compare with it.
 *
 * @param description - the file in which Linux describes the processors
 */
export function hostCpu(description = '/proc/cpuinfo'): HostCpu | string {
  if (process.platform !== 'linux' || process.arch !== 'x64') return 'the host is not an x86-64 under Linux'
  if (!existsSync(description)) return `there is no ${description}`
  const text = readFileSync(description, 'latin1')
  const field = (name: string): string => new RegExp(`^${name}\\s*: *(.*)$`, 'm').exec(text)?.[1] ?? ''
  const flags = new Set(field('flags').trim().split(' '))
  return {
    vendor: field('vendor_id'),
    family: Number(field('cpu family')),
    has: (feature) => feature.split('+').every((one) => one === '' || flags.has(LINUX_NAMES[one] ?? one.toLowerCase())),
  }
}

export interface HostProgram {
  readonly path: string
}

/**
 * Builds a C file for the host, once per content of the file, or says why that cannot be. No reason is longer than a line.
 *
 * @param source - path of the file
 * @param options - options of gcc
 */
export function buildForHost(source: string, options: readonly string[]): HostProgram | string {
  const compiler = 'gcc'
  const version = spawnSync(compiler, ['--version'], { encoding: 'utf8' })
  if (version.status !== 0) return `there is no ${compiler}`
  const hash = createHash('sha256').update(readFileSync(source)).update(version.stdout).update(options.join(' '))
  // Another user's folder can be neither trusted nor written.
  const folder = join(tmpdir(), `retrap-host-${process.getuid?.() ?? 0}`)
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const path = join(folder, hash.digest('hex').slice(0, 16))
  if (!existsSync(path)) {
    const fresh = `${path}.${process.pid}`
    const built = spawnSync(compiler, [...options, '-o', fresh, source], { encoding: 'utf8' })
    if (built.status !== 0)
      return `${compiler} cannot build ${source}: ${/.*error:.*/.exec(built.stderr)?.[0] ?? built.stderr.split('\n')[0]}`
    renameSync(fresh, path)
  }
  return { path }
}

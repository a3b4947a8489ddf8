/** The processor under us, asked what is an instruction: through a small program that is compiled for the occasion. */
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** Our CPUID features → Linux's in /proc/cpuinfo, where small letters are not enough. */
const LINUX_NAMES: Readonly<Record<string, string>> = {
  AVX512_IFMA: 'avx512ifma',
  AVX512_VBMI: 'avx512vbmi',
  PCLMULQDQ: 'pclmulqdq',
}

export class HostCpu {
  readonly #folder: string
  readonly #flags: ReadonlySet<string>
  /** As CPUID spells it: `GenuineIntel`, `AuthenticAMD`. */
  readonly vendor: string

  private constructor(folder: string, flags: ReadonlySet<string>, vendor: string) {
    this.#folder = folder
    this.#flags = flags
    this.vendor = vendor
  }

  /** Compiles the program, or says why that is of no use here. */
  static make(): HostCpu | string {
    if (process.platform !== 'linux' || process.arch !== 'x64') return 'not an x86-64 CPU under Linux'
    const description = readFileSync('/proc/cpuinfo', 'latin1')
    const flags = new Set(/^flags\s*:(.*)$/m.exec(description)?.[1]?.trim().split(' '))
    const vendor = /^vendor_id\s*:\s*(\S+)/m.exec(description)?.[1] ?? ''
    if (!flags.has('avx512f')) return 'a CPU without AVX-512'
    const folder = mkdtempSync(join(tmpdir(), 'retrap-host-'))
    const source = fileURLToPath(new URL('host.c', import.meta.url))
    const { status } = spawnSync('gcc', ['-O1', '-Wall', '-Wextra', '-o', join(folder, 'host'), source])
    if (status === 0) return new HostCpu(folder, flags, vendor)
    rmSync(folder, { recursive: true })
    return 'no gcc'
  }

  /** Whether it has all features of `CodeInfo.feature`. */
  has(feature: string): boolean {
    return feature.split('+').every((name) => this.#flags.has(LINUX_NAMES[name] ?? name.toLowerCase()))
  }

  /** @param items - 15 bytes of code and their number; returns 0 for #UD, a length, or 255 for another fault */
  run(items: readonly Uint8Array[]): Uint8Array {
    const input = new Uint8Array(items.length * 16)
    items.forEach((item, i) => input.set(item, i * 16))
    return execFileSync(join(this.#folder, 'host'), { input, maxBuffer: 1 << 28 })
  }

  dispose(): void {
    rmSync(this.#folder, { recursive: true })
  }
}

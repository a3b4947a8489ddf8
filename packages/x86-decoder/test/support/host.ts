/** The processor under us, asked what is an instruction: through a small program that is compiled for the occasion. */
import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { buildForHost, hostCpu } from '@retrap/tooling/host-cpu'

/** The processor, if it has AVX-512. */
export interface EvexHost {
  /** As CPUID spells it: `GenuineIntel`, `AuthenticAMD`. */
  readonly vendor: string
  /** Whether it has all features of `CodeInfo.feature`. */
  has(feature: string): boolean
  /** @param items - 15 bytes of code and their number; returns 0 for #UD, a length, or 255 for another fault */
  run(items: readonly Uint8Array[]): Uint8Array
}

/** Compiles the program, or says why that is of no use here. */
export function evexHost(): EvexHost | string {
  const cpu = hostCpu()
  if (typeof cpu === 'string') return cpu
  if (!cpu.has('AVX512F')) return 'the host has no AVX-512'
  const program = buildForHost(fileURLToPath(new URL('host.c', import.meta.url)), ['-O1', '-Wall', '-Wextra'])
  if (typeof program === 'string') return program
  return {
    ...cpu,
    run: (items) => {
      const input = new Uint8Array(items.length * 16)
      items.forEach((item, i) => input.set(item, i * 16))
      return execFileSync(program.path, { input, maxBuffer: 1 << 28 })
    },
  }
}

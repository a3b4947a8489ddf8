/** Routines on the processor under us, where it has AVX-512: the reference of ours. */
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { buildForHost, hostCpu } from '@retrap/tooling/host-cpu'
import { S_CR4, S_XCR0 } from '../../src/state/state-layout.ts'
import type { BareCpu } from './bare-cpu.ts'

/** Calls a routine that ends by RET: RSI points to `input`, RDI to the bytes that it returns. */
export type NativeCode = (code: Uint8Array, input: Uint8Array, outputBytes: number) => Uint8Array

/** @returns the way to call, or why there is none */
export function nativeCode(features = 'AVX512F+AVX512BW+AVX512DQ+AVX512VL+AVX512CD'): NativeCode | string {
  const cpu = hostCpu()
  if (typeof cpu === 'string') return cpu
  if (!cpu.has(features)) return `the host's processor is without some of ${features}`
  const program = buildForHost(join(import.meta.dirname, 'native-code.c'), ['-O1'])
  if (typeof program === 'string') return program
  return (code, input, outputBytes) => {
    const header = new Uint8Array(Uint32Array.of(code.length, input.length, outputBytes).buffer)
    const { status, signal, stdout } = spawnSync(program.path, {
      input: Buffer.concat([header, code, input]),
      maxBuffer: outputBytes + 1,
    })
    if (status !== 0) throw new Error(`the host's processor: ${signal ?? `status ${status}`}`)
    return stdout
  }
}

/** Lets a processor's code use AVX-512. */
export function enableAvx512(pc: BareCpu): void {
  pc.cpu.u32[S_CR4 >>> 2]! |= 1 << 18
  pc.cpu.u32[S_XCR0 >>> 2] = 0xe7
  pc.cpu.modeChanged()
}

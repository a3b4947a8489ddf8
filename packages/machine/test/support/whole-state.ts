import { createHash } from 'node:crypto'
import { crc32 } from '@retrap/basics'
import { saveVcpuRegisters } from '@retrap/x86-cpu'
import type { Pc } from '../../src/index.ts'

/** All that a guest can see of its processors and its RAM. @param memoryBytes - of RAM */
export function wholeState({ domain }: Pc, memoryBytes: number): unknown {
  const bytes = new Uint8Array(memoryBytes)
  domain.guestMemory.read(0, bytes)
  return [crc32(bytes), domain.vcpus.map(({ cpu }) => [cpu.retired, saveVcpuRegisters(cpu)])]
}

/** A saved machine as lines of text, with bytes as digests. */
export function linesOf(saved: object): string[] {
  const digest = (bytes: Uint8Array): string => createHash('sha1').update(bytes).digest('hex')
  const text = (_key: string, value: unknown): unknown => (value instanceof Uint8Array ? digest(value) : value)
  return JSON.stringify(saved, text, 1).split('\n')
}

import { saveVcpu } from '@retrap/x86-cpu'
import { LOGGED, describeAccess } from './devices.ts'
import type { ChaosMachine } from './machine.ts'

/** What differs between two machines: what their devices have seen, registers, memory, and what a device keeps. */
export function compare(calm: ChaosMachine, wild: ChaosMachine): string | undefined {
  const a = calm.devices
  const b = wild.devices
  for (let i = 0; i < Math.max(a.logged, b.logged); i += LOGGED) {
    for (let word = i; word < i + LOGGED; word++) {
      if (i >= a.logged || i >= b.logged || a.log[word] !== b.log[word])
        return `device access ${i / LOGGED} is ${describeAccess(a, i)} and ${describeAccess(b, i)}`
    }
  }
  const [board, other] = [calm.romStores.join('; '), wild.romStores.join('; ')]
  if (board !== other) return `stores to ROM are ${board || 'none'} and ${other || 'none'}`
  if (calm.cpu.materialiseFlags() !== wild.cpu.materialiseFlags()) return registersDiffer(calm, wild)
  const registers = wild.registers()
  for (const [i, part] of calm.registers().entries()) {
    if (Buffer.compare(part, registers[i] as Uint8Array) !== 0) return registersDiffer(calm, wild)
  }
  if (Buffer.compare(calm.ram, wild.ram) !== 0) {
    const at = calm.ram.findIndex((byte, i) => byte !== wild.ram[i])
    return `memory at ${at.toString(16)} is ${calm.ram[at]?.toString(16)} and ${wild.ram[at]?.toString(16)}`
  }
  return Buffer.compare(a.store, b.store) === 0 ? undefined : 'what the device keeps differs'
}

function registersDiffer(calm: ChaosMachine, wild: ChaosMachine): string {
  const difference = firstDifference(saveVcpu(calm.cpu), saveVcpu(wild.cpu), '')
  return difference ?? 'registers differ in what is not saved'
}

/** Where two trees of plain data part. */
function firstDifference(a: unknown, b: unknown, path: string): string | undefined {
  if (typeof a !== 'object' || a === null || typeof b !== 'object' || b === null)
    return Object.is(a, b) ? undefined : `${path}: ${String(a)} and ${String(b)}`
  for (const key of Object.keys(a)) {
    const found = firstDifference(
      (a as Record<string, unknown>)[key],
      (b as Record<string, unknown>)[key],
      `${path}/${key}`,
    )
    if (found !== undefined) return found
  }
  return undefined
}

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
  return compareRegisters(calm, wild) ?? compareMemory(calm, wild)
}

export function compareRegisters(calm: ChaosMachine, wild: ChaosMachine): string | undefined {
  if (calm.cpu.materialiseFlags() !== wild.cpu.materialiseFlags()) return registersDiffer(calm, wild)
  const registers = wild.registers()
  for (const [i, part] of calm.registers().entries()) {
    if (Buffer.compare(part, registers[i] as Uint8Array) !== 0) return registersDiffer(calm, wild)
  }
  return undefined
}

function compareMemory(calm: ChaosMachine, wild: ChaosMachine): string | undefined {
  const difference = compareRam(calm, wild)
  if (difference !== undefined) return difference
  return Buffer.compare(calm.devices.store, wild.devices.store) === 0 ? undefined : 'what the device keeps differs'
}

/** What differs of RAM. */
export function compareRam(calm: ChaosMachine, wild: ChaosMachine): string | undefined {
  if (Buffer.compare(calm.ram, wild.ram) === 0) return undefined
  const at = calm.ram.findIndex((byte, i) => byte !== wild.ram[i])
  return `memory at ${at.toString(16)} is ${calm.ram[at]?.toString(16)} and ${wild.ram[at]?.toString(16)}`
}

/** What is left of an instruction that has been cancelled. */
export function stillBusy({ cpu, domain, waitsForMemory }: ChaosMachine): string | undefined {
  if (cpu.busy || cpu.log.active) return 'it is still in the middle'
  if (domain.dispatch.requests.has(0)) return 'it waits for an answer'
  return waitsForMemory ? 'it waits for memory' : undefined
}

/** What differs between what two processors would save, what waits and what is held off included. */
export function compareSaved(calm: ChaosMachine, wild: ChaosMachine): string | undefined {
  return firstDifference(saveVcpu(calm.cpu), saveVcpu(wild.cpu), '')
}

function registersDiffer(calm: ChaosMachine, wild: ChaosMachine): string {
  // Nothing is saved in the middle of an instruction.
  const difference = wild.cpu.busy ? undefined : firstDifference(saveVcpu(calm.cpu), saveVcpu(wild.cpu), '')
  if (difference !== undefined) return difference
  for (const [i, a] of calm.registers().entries()) {
    const b = wild.registers()[i]!
    const at = a.findIndex((byte, j) => byte !== b[j])
    const offset = (a.byteOffset - calm.cpu.u8.byteOffset + at).toString(16)
    if (at >= 0) return `the byte at ${offset} of the state is ${a[at]?.toString(16)} and ${b[at]?.toString(16)}`
  }
  return 'the arithmetic flags differ'
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

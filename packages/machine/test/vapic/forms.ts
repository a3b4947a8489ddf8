import type { Op, Storm } from './storm.ts'

/** Handlers that raise, nest and lower, and one in eight that sends another on. */
export const HANDLINGS: Storm['handlings'] = Array.from({ length: 224 }, (_, i) => ({
  raises: i % 5 !== 4,
  nests: i % 2 === 0,
  dips: i % 3 === 0,
  sends: i % 8 === 7 ? 0x31 + ((i * 37) % 0xb0) : 0,
}))

/** Every form of access with every register, and interrupts of each priority between them. */
export function everyForm(cpus: number): Storm {
  const ops: Op[] = [{ kind: 'interrupts', on: true }]
  const registers = [0, 1, 2, 3, 4, 5, 6, 7]
  registers.forEach((register) => {
    ops.push({ kind: 'write', form: register, value: 0x10 * register + 0x20 })
    // One below the priority, one in its class, and one above.
    ops.push({ kind: 'self', vectors: [0x10 * register + 0x41, 0x10 * register + 0x2f, 0x10 * register + 0x31] })
    if (register !== 4) ops.push({ kind: 'read', form: register })
    ops.push({ kind: 'write', form: register, value: 0x10 })
  })
  ops.push({ kind: 'write', form: 'a3', value: 0xf0 }, { kind: 'device', vectors: [0x51, 0xe1, 0x91, 0x32] })
  ops.push({ kind: 'read', form: 'a1' }, { kind: 'read', form: 'push' }, { kind: 'write', form: 'c7', value: 0x80 })
  for (const form of ['cmp', 'and', 'or', 'movzx', 'xchg', 'mov8', 'esp'] as const) {
    ops.push({ kind: 'other', form, value: 0x65 }, { kind: 'self', vectors: [0x61, 0x71] })
  }
  ops.push({ kind: 'no-stack', value: 0x43 }, { kind: 'no-kpcr', value: 0x55 }, { kind: 'crossing', value: 0x77 })
  if (cpus > 1) ops.push({ kind: 'cross', vector: 0x7b }, { kind: 'cross', vector: 0x3c })
  ops.push({ kind: 'interrupts', on: false }, { kind: 'write', form: 'c7', value: 0 })
  ops.push({ kind: 'device', vectors: [0x41, 0xc1, 0xa1] }, { kind: 'write', form: 'a3', value: 0xb0 })
  ops.push({ kind: 'interrupts', on: true })
  return { programs: Array.from({ length: cpus }, () => ops), rounds: 3, handlings: HANDLINGS }
}

/** Instructions whose bytes are in devices, one that answers at once and one that takes its time. */
import { expect, test } from 'vitest'
import { BareCpu, CODE, slowDevice } from './support/bare-cpu.ts'

const QUICK = 0x2_0000
const SLOW = 0x2_1000

test('an instruction that begins in a device that answers at once, and ends in one that does not: each byte is read once', () => {
  const pc = new BareCpu()
  // mov eax, 0x12345678; hlt, two bytes of it in the first device
  const code = [0xb8, 0x78, 0x56, 0x34, 0x12, 0xf4]
  const reads: string[] = []
  pc.host.devices.set(QUICK >>> 12, {
    read: (offset) => {
      reads.push(`quick ${offset.toString(16)}`)
      return BigInt(code[offset - 0xffe] as number)
    },
    write: () => true,
  })
  const slow = slowDevice((offset) => {
    reads.push(`slow ${offset.toString(16)}`)
    return BigInt(code[offset + 2] as number)
  })
  pc.host.devices.set(SLOW >>> 12, slow)
  // jmp rax
  pc.load(CODE, [0xff, 0xe0])
  pc.setRegister('rax', QUICK + 0xffe)
  let exit = pc.run()
  while (exit.reason === 'blocked') exit = pc.run()
  expect(exit.reason).toBe('hlt')
  expect(pc.register('rax')).toBe(0x1234_5678n)
  expect(reads).toEqual(['quick ffe', 'quick fff', 'slow 0', 'slow 1', 'slow 2', 'slow 3'])
})

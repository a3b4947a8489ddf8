import { expect, test } from 'vitest'
import { ArmEmulator, kvmMmio, type MmioExit, STATUS_DONE, STATUS_FAULT, STATUS_RETRY } from '../src/index.ts'
import { abortAt, CODE_BASE, DEVICE_BASE, type FlatVcpu, FlatWorld, soleOrder } from './support/flat-world.ts'

/** A world whose device is spoken to as by KVM. */
function world(
  handler: (exit: MmioExit) => void | Promise<void>,
  answered: (failed: boolean) => void = () => {},
): FlatWorld {
  return Object.assign(new FlatWorld(), { device: kvmMmio(handler, answered) })
}

function vcpuAt(flat: FlatWorld, word: number): FlatVcpu {
  const vcpu = flat.at64(word)
  vcpu.x[4] = DEVICE_BASE
  return vcpu
}

test('an exit has what KVM_EXIT_MMIO has', () => {
  const exits: MmioExit[] = []
  const flat = world((exit) => {
    exits.push({ ...exit, data: exit.data.slice() })
    if (!exit.is_write) exit.data.set([0x78, 0x56, 0x34, 0x12])
  })
  // ldr w0, [x2], #4
  const vcpu = vcpuAt(flat, 0xb840_4440)
  const emulator = new ArmEmulator(vcpu, flat, soleOrder())
  expect(emulator.handle(abortAt(DEVICE_BASE, false))).toBe(STATUS_DONE)
  expect(vcpu.x[0]).toBe(0x1234_5678)
  // strh w0, [x2], #2
  flat.view.setUint32(CODE_BASE + 4, 0x7800_2440, true)
  expect(emulator.handle(abortAt(DEVICE_BASE + 4, true))).toBe(STATUS_DONE)
  expect(
    exits.map(({ phys_addr, len, is_write, data }) => [phys_addr, len, is_write, [...data.subarray(0, len)]]),
  ).toEqual([
    [DEVICE_BASE, 4, false, [0, 0, 0, 0]],
    [DEVICE_BASE + 4, 2, true, [0x78, 0x56]],
  ])
})

test('a handler may take its time, and 64 bytes are eight exits', async () => {
  const addresses: number[] = []
  let answer: (failed: boolean) => void = () => {}
  const answers = new Promise<boolean>((resolve) => (answer = resolve))
  const flat = world(
    async ({ phys_addr, data }) => {
      await Promise.resolve()
      addresses.push(phys_addr)
      data[0] = addresses.length
    },
    (failed) => answer(failed),
  )
  // ld64b x8, [x2]
  const vcpu = vcpuAt(flat, 0xf83f_d048)
  const emulator = new ArmEmulator(vcpu, flat, soleOrder())
  expect(emulator.handle(abortAt(DEVICE_BASE, false))).toBe(STATUS_RETRY)
  expect(await answers).toBe(false)
  emulator.answer()
  expect(emulator.resume()).toBe(STATUS_DONE)
  expect(addresses).toEqual(Array.from({ length: 8 }, (_, index) => DEVICE_BASE + index * 8))
  expect(Array.from({ length: 8 }, (_, index) => vcpu.x[(8 + index) * 2])).toEqual([1, 2, 3, 4, 5, 6, 7, 8])
})

test('a handler that fails makes the guest take an abort', async () => {
  let answer: (failed: boolean) => void = () => {}
  const answers = new Promise<boolean>((resolve) => (answer = resolve))
  const flat = world(
    () => Promise.reject(new Error('no such device')),
    (failed) => answer(failed),
  )
  const vcpu = vcpuAt(flat, 0xb840_4440)
  const emulator = new ArmEmulator(vcpu, flat, soleOrder())
  emulator.handle(abortAt(DEVICE_BASE, false))
  emulator.answer(await answers)
  expect(emulator.resume()).toBe(STATUS_FAULT)
})

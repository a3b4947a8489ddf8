/** What can happen to an instruction that waits for a device: it is forgotten, or a snapshot is taken. */
import { dword, eax, ebx, imm8, type Assembler } from '@retrap/x86-assembler'
import { restoreVcpu, saveVcpu, type SavedCpu, type Vcpu } from '@retrap/x86-cpu'
import { describe, expect, test } from 'vitest'
import type { Guest } from './support/guest.ts'
import { DEVICE, RESULT, SlowDevice, leave, pagedGuest } from './support/paged-guest.ts'

/** A device whose answers wait until they are let out. */
class HeldDevice extends SlowDevice {
  readonly #held: (() => void)[] = []
  constructor(values: readonly number[]) {
    super(values)
    this.between = () => new Promise((resolve) => void this.#held.push(resolve))
  }
  async release(): Promise<void> {
    for (let i = 0; i < 5; i++) await new Promise((resolve) => setImmediate(resolve))
    for (const resolve of this.#held.splice(0)) resolve()
    for (let i = 0; i < 5; i++) await new Promise((resolve) => setImmediate(resolve))
  }
}

/** First reads of the device: by forms whose access waits where it stands, and by one that is logged from its beginning. */
const READS = {
  MOV: (asm: Assembler) => asm.mov(eax, dword(DEVICE)),
  IN: (asm: Assembler) => asm.in(eax, imm8(0x80)),
  PUSH: (asm: Assembler) => asm.push(dword(DEVICE)).pop(eax),
} as const

/** Reads the device twice; runs until the first read waits. */
async function waiting(
  form: keyof typeof READS = 'MOV',
): Promise<{ guest: Guest; device: HeldDevice; cpu: Vcpu; before: SavedCpu }> {
  const device = new HeldDevice([0x1111_1111, 0x2222_2222, 0x3333_3333])
  const guest = pagedGuest((asm) => {
    READS[form](asm).mov(dword(RESULT), eax)
    asm.mov(ebx, dword(DEVICE + 4)).mov(dword(RESULT + 4), ebx)
    leave(asm)
  }, device)
  const before = saveVcpu(guest.boot)
  await stopWhenBlocked(guest)
  expect(device.seen).toEqual(['read 0/4'])
  return { guest, device, cpu: guest.boot, before }
}

/** Runs until the vCPU waits. */
async function stopWhenBlocked(guest: Guest): Promise<void> {
  const run = guest.run()
  while (!guest.boot.busy) await new Promise((resolve) => setImmediate(resolve))
  guest.domain.stop({ reason: 'stopped' })
  expect(await run).toEqual({ reason: 'stopped' })
}

async function finish(guest: Guest, device: HeldDevice): Promise<unknown> {
  device.between = () => undefined
  return guest.run()
}

describe.each(Object.keys(READS) as (keyof typeof READS)[])(
  '%s waits for a device and is forgotten, and its late answer with it',
  (form) => {
    test.each<[string, (guest: Guest, before: SavedCpu) => void]>([
      ['set-context', (guest, before) => restoreVcpu(guest.boot, before)],
      [
        'reset',
        (guest, before) => {
          guest.domain.reset()
          restoreVcpu(guest.boot, before)
        },
      ],
      [
        'INIT, then set-context',
        (guest, before) => {
          guest.domain.interrupts.signalMsi(0xfee0_0000, 0x500)
          expect(guest.boot.run(0)).toEqual({ reason: 'budget' })
          expect(guest.boot.busy).toBe(false)
          restoreVcpu(guest.boot, before)
        },
      ],
      [
        'INIT and SIPI',
        (guest, before) => {
          const { boot } = guest
          boot.init()
          expect(boot.run(0)).toEqual({ reason: 'budget' })
          boot.startup(8)
          restoreVcpu(boot, before)
        },
      ],
    ])('by %s', async (_name, forget) => {
      const { guest, device, before } = await waiting(form)
      forget(guest, before)
      expect(guest.boot.busy).toBe(false)
      expect(guest.boot.log.active).toBe(false)
      expect(guest.domain.dispatch.requests.has(0)).toBe(false)
      // The program starts again and asks the same slot, which is still drained.
      const run = guest.run()
      for (let i = 0; i < 5; i++) await new Promise((resolve) => setImmediate(resolve))
      expect(device.seen).toEqual(['read 0/4'])
      device.between = () => undefined
      await device.release()
      expect(await run).toEqual({ reason: 'debug-exit', code: 0 })
      expect(device.seen).toEqual(['read 0/4', 'read 0/4', 'read 4/4'])
      // The first answer was dropped.
      expect([guest.read32(RESULT), guest.read32(RESULT + 4)]).toEqual([0x2222_2222, 0x3333_3333])
    })
  },
)

test('a vCPU that waits for memory and is given other registers waits for nothing any more', async () => {
  const guest = pagedGuest((asm) => leave(asm.mov(eax, dword(RESULT))), new HeldDevice([]))
  const { domain, boot } = guest
  const before = saveVcpu(boot)
  domain.secondLevel.onPageRequest = () => undefined
  await domain.changeMemory((p2m) => p2m.paging.nominate(RESULT >>> 12))
  await stopWhenBlocked(guest)
  expect(domain.secondLevel.waits(0)).toBe(true)
  restoreVcpu(boot, before)
  expect(domain.secondLevel.waits(0)).toBe(false)
})

describe('a snapshot', () => {
  test.each(Object.keys(READS) as (keyof typeof READS)[])('lets %s that waits finish, and no other', async (form) => {
    const { guest, device, cpu } = await waiting(form)
    expect(() => saveVcpu(cpu)).toThrow(/waits for a device/)
    const retired = cpu.retired
    const settled = guest.domain.settle(5000)
    await device.release()
    await settled
    expect(cpu.busy).toBe(false)
    expect(cpu.retired).toBe(retired + 1)
    if (form !== 'PUSH') expect(saveVcpu(cpu).registers['rax']).toBe('0x11111111')
    expect(device.seen).toEqual(['read 0/4'])
    expect(await finish(guest, device)).toEqual({ reason: 'debug-exit', code: 0 })
    expect([guest.read32(RESULT), guest.read32(RESULT + 4)]).toEqual([0x1111_1111, 0x2222_2222])
  })

  test('of a device that does not answer fails at its deadline, and changes nothing', async () => {
    const { guest, device, cpu } = await waiting()
    await expect(guest.domain.settle(30)).rejects.toMatchObject({
      code: 'ERR_PENDING',
      vcpus: [0],
      message: 'vCPU 0 waits for a device that has not answered within 30 ms',
    })
    expect(cpu.busy).toBe(true)
    device.between = () => undefined
    const run = guest.run()
    await device.release()
    expect(await run).toEqual({ reason: 'debug-exit', code: 0 })
    expect(device.seen).toEqual(['read 0/4', 'read 4/4'])
  })

  test('goes on elsewhere without asking the device again', async () => {
    const first = await waiting()
    const settled = first.guest.domain.settle(5000)
    await first.device.release()
    await settled
    const saved: unknown = JSON.parse(JSON.stringify(saveVcpu(first.cpu)))
    const device = new HeldDevice([0x7777_7777])
    device.between = () => undefined
    // The same program and memory.
    const second = pagedGuest((asm) => {
      asm.mov(eax, dword(DEVICE)).mov(dword(RESULT), eax)
      asm.mov(ebx, dword(DEVICE + 4)).mov(dword(RESULT + 4), ebx)
      leave(asm)
    }, device)
    restoreVcpu(second.boot, saved as SavedCpu)
    expect(await second.run()).toEqual({ reason: 'debug-exit', code: 0 })
    expect(device.seen).toEqual(['read 4/4'])
    expect([second.read32(RESULT), second.read32(RESULT + 4)]).toEqual([0x1111_1111, 0x7777_7777])
  })

  test('is there at once where nothing is in the middle', async () => {
    const { guest, cpu } = await waiting()
    cpu.cancel()
    await guest.domain.settle(0)
    expect(cpu.busy).toBe(false)
  })
})

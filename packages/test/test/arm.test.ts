/** An Arm board that is booted once: the same machine is put back before each test. */
import { armImage } from '@retrap/tooling/arm-image'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { ArmMachine } from '@retrap/machine/arm'
import { defineDevice } from '@retrap/device'
import { BootedMachine, FaultStage } from '../src/index.ts'

/** A Linux Image that prints `>`, sends back what is typed, and says behind each character how many there were. */
function countingImage(): Uint8Array {
  return armImage(
    0xd2a1_2001, // movz x1, #0x0900, lsl #16: the UART
    0x5280_0c00, // movz w0, #0x60: eight bits a character
    0xb900_2c20, // str w0, [x1, #0x2c]
    0x5280_6020, // movz w0, #0x301: on, for both directions
    0xb900_3020, // str w0, [x1, #0x30]
    0xd2a1_8005, // movz x5, #0x0c00, lsl #16: a device that says '1'
    0xb940_00a4, // ldr w4, [x5]
    0x5280_07c2, // movz w2, #'>'
    0x3900_0022, // strb w2, [x1]
    0xb940_1823, // ldr w3, [x1, #0x18]: flags
    0x3727_ffe3, // tbnz w3, #4, .-4: nothing has come
    0xb940_0022, // ldr w2, [x1]
    0x3900_0022, // strb w2, [x1]
    0x1100_0484, // add w4, w4, #1
    0x3900_0024, // strb w4, [x1]
    0x17ff_fffa, // b .-24
  )
}

/** Its device is wrong by one bit: it says `0`. */
const stage = new FaultStage([{ device: 'one', act: 'read', nth: 1, kind: 'wrong', bits: 1 }])
const one = defineDevice({
  ...{ name: 'one', stateless: true, mmio: { base: 0x0c00_0000, size: 0x1000 } },
  read: () => 0x31,
})

let booted: BootedMachine<ArmMachine>
beforeAll(async () => {
  const arm = { memoryBytes: 4 << 20, kernel: countingImage(), devices: [stage.wrap(one)] }
  booted = await BootedMachine.arm({ arm, ready: '>' })
  expect(stage.happened).toHaveLength(1)
})
afterAll(() => booted.close())

test('begins each test at one instant', async () => {
  expect(booted.notRecorded).toMatch(/from power-on only/)
  for (const typed of ['ab', 'c'])
    await booted.run(async (machine) => {
      machine.type(typed)
      const last = `${typed.at(-1)}${typed.length}`
      expect(await machine.until(last)).toBe(typed === 'ab' ? 'a1b2' : 'c1')
      expect(await machine.screenshot()).toBeUndefined()
    })
})

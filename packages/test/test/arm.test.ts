/** An Arm board that is booted once: each test has a clone, whose run is recorded, or the same machine is put back. */
import { armImage } from '@retrap/tooling/arm-image'
import { expect, test } from 'vitest'
import { defineDevice } from '@retrap/device'
import { openBundle } from '@retrap/machine'
import { type ArmForkOptions, type ArmMachine, type ArmSnapshot, replayArmMachine } from '@retrap/machine/arm'
import { readSnapshot } from '@retrap/snapshot'
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

const board = { memoryBytes: 4 << 20, kernel: countingImage() }
const one = defineDevice({
  ...{ name: 'one', stateless: true, deterministic: true, mmio: { base: 0x0c00_0000, size: 0x1000 } },
  read: () => 0x31,
})
const fork = (): ArmForkOptions => ({ devices: [one] })

/** Boots it with a device that is wrong by one bit at the boot: it says `0`. */
async function booted(record: boolean): Promise<BootedMachine<ArmMachine>> {
  const stage = new FaultStage([{ device: 'one', act: 'read', nth: 1, kind: 'wrong', bits: 1 }])
  const arm = { ...board, devices: [stage.wrap(one)] }
  const machine = await BootedMachine.arm({ arm, fork, record, ready: '>' })
  expect(stage.happened).toHaveLength(1)
  return machine
}

test.each([true, false])('begins each test at one instant, and runs again what is recorded: %s', async (record) => {
  const machine = await booted(record)
  expect(machine.notRecorded).toBe(record ? undefined : 'the option record is false')
  for (const [typed, printed] of [
    ['ab', 'a1b2'],
    ['c', 'c1'],
  ] as const) {
    const { test: begun, begun: run } = await machine.begin()
    begun.type(typed)
    expect(await begun.until(printed.slice(-2))).toBe(printed)
    expect(await begun.screenshot()).toBeUndefined()
    await begun.over()
    const recorded = await run.recording('it failed')
    if (record) expect(await replayed(recorded!.bytes)).toEqual([printed, begun.machine.domain.instructions])
    run.end()
  }
  machine.close()
})

/** Runs a recording again, by the file alone. @returns what is printed, and how many instructions there are */
async function replayed(bytes: Uint8Array): Promise<readonly [printed: string, instructions: number]> {
  const sourceOf = (all: Uint8Array) => ({
    bytes: all.length,
    read: (at: number, length: number) => all.subarray(at, at + length),
  })
  const file = (await openBundle(sourceOf(bytes))).snapshot!
  const snapshot = (await readSnapshot(sourceOf(file))) as object as ArmSnapshot
  let printed = ''
  const again = await replayArmMachine({ ...board, ...fork(), clock: 'deterministic', snapshot }, sourceOf(bytes), {
    onMachine: ({ serial }) => serial.onTransmit((sent) => (printed += Buffer.from(sent).toString())),
  })
  expect(await again.run()).toMatchObject({ reason: 'end-of-recording' })
  again.close()
  return [printed, again.instructions]
}

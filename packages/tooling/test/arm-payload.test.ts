/** Payloads under qemu-system-aarch64. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { describe, expect, test } from 'vitest'
import { ARM_BOARD_LACKS, assemblePayload, BOARD_RAM, hasArmBoard, PAYLOAD, runPayload } from '../src/arm-payload.ts'
import { skipNote } from '../src/skip.ts'

const folder = temporaryFolder('payload-test')

function assemble(text: string): Buffer {
  const path = join(folder, 'payload.s')
  writeFileSync(path, `.globl _start\n_start:\n${text}\n`)
  return assemblePayload(path)
}

/** PSCI's SYSTEM_OFF (Arm DEN 0022). */
const OFF = 'ldr w0, =0x84000008\nhvc #0\nb .'

describe.skipIf(!hasArmBoard)(`on QEMU’s board${skipNote(hasArmBoard, ARM_BOARD_LACKS)}`, () => {
  test('a payload finds what was placed, and what it leaves in the last bytes of RAM comes back', () => {
    const input = BOARD_RAM + (16 << 20)
    const last = BOARD_RAM + (64 << 20) - 8
    const bytes = assemble(`ldr x1, =${input}\nldr x2, [x1]\nadd x2, x2, #1\nldr x1, =${last}\nstr x2, [x1]\n${OFF}`)
    const result = { address: last, bytes: new Uint8Array(8) }
    const placed = { address: input, bytes: Uint8Array.of(0xff, 1, 2, 3, 4, 5, 6, 7) }
    runPayload('', 64, [{ address: PAYLOAD, bytes }, placed], result)
    expect([...result.bytes]).toEqual([0, 2, 2, 3, 4, 5, 6, 7])
  })

  test('a machine that QEMU does not make is an error with its words', () => {
    const result = { address: BOARD_RAM, bytes: new Uint8Array(8) }
    expect(() => runPayload(',no-such-property=on', 64, [], result)).toThrow(/did not end \(1\): .*no-such-property/s)
  })
})

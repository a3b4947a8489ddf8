/** The harnesses that run Arm instructions under qemu-user. */
import { describe, expect, test } from 'vitest'
import { AARCH64, ARM, hasMachine, type NativeCase, type NativeMachine, runNative, WINDOW } from '../src/arm-native.ts'
import { skipNote } from '../src/skip.ts'

const available = hasMachine(AARCH64) && hasMachine(ARM)
const note = skipNote(available, 'no cross compiler or no qemu-user')

const A64_NOP = 0xd503_201f
const A32_NOP = 0xe320_f000
/** Two NOPs of T32. */
const T32_NOPS = 0xbf00_bf00

/** A case whose first registers have values, and whose window counts up from a number. */
function nativeCase(machine: NativeMachine, code: readonly [number, number], registers: readonly number[]): NativeCase {
  const state = new Uint8Array(machine.stateBytes)
  const view = new DataView(state.buffer)
  const bytes = machine === AARCH64 ? 8 : 4
  for (const [i, value] of registers.entries()) view.setUint32(i * bytes, value, true)
  const window = Uint8Array.from({ length: WINDOW }, (_, i) => (i + registers[0]!) & 0xff)
  return { thumb: false, code, state, window }
}

const register = (state: Buffer, bytes: number, index: number): number => state.readUInt32LE(bytes * index)

describe.skipIf(!available)(`under qemu-user${note}`, () => {
  test('each case has its own code, registers and memory', () => {
    // add x0, x1, x2; mul x3, x1, x2
    const cases = [
      nativeCase(AARCH64, [0x8b02_0020, A64_NOP], [1, 20, 300]),
      nativeCase(AARCH64, [A64_NOP, 0x9b02_7c23], [2, 30, 400]),
      nativeCase(AARCH64, [0x8b02_0020, 0x9b02_7c23], [3, 40, 500]),
    ]
    const results = runNative(AARCH64, cases)
    expect(results.map(({ state }) => [register(state, 8, 0), register(state, 8, 3)])).toEqual([
      [320, 0],
      [2, 12_000],
      [540, 20_000],
    ])
    for (const [i, { window }] of results.entries()) expect([...window]).toEqual([...cases[i]!.window])
  })

  test('A32 and T32 are told apart', () => {
    // A32: add r0, r1, r2. T32: adds r0, r1, r2; nop, which are one word.
    const arm = nativeCase(ARM, [0xe081_0002, A32_NOP], [1, 20, 300])
    const thumb = { ...nativeCase(ARM, [0xbf00_1888, T32_NOPS], [2, 30, 400]), thumb: true }
    // CPSR, after R0–R14: its bit T.
    thumb.state[4 * 15] = 0x20
    const results = runNative(ARM, [arm, thumb, arm])
    expect(results.map(({ state }) => register(state, 4, 0))).toEqual([320, 430, 320])
  })

  test('a program that dies, or ends before its last case, is an error that names the case', () => {
    const fine = nativeCase(AARCH64, [A64_NOP, A64_NOP], [0])
    // udf #0
    expect(() => runNative(AARCH64, [fine, { ...fine, code: [0, A64_NOP] }])).toThrow(
      /^qemu-aarch64 ended with .* at case 1$/,
    )
    // svc #0 with the number of exit: it ends well, and with all that it has done so far.
    const exits = nativeCase(AARCH64, [0xd400_0001, A64_NOP], [0, 0, 0, 0, 0, 0, 0, 0, 93])
    expect(() => runNative(AARCH64, [fine, fine, exits, fine])).toThrow(/^qemu-aarch64 ended with 0 at case 2$/)
  })
})

/** What our emulation makes of random instructions, against qemu-user. */
import { words } from '@retrap/tooling/random'
import { STATUS_DONE } from '../../src/index.ts'
import { emulate, type EmulationCase, emulationCases, lengthOf, type SetName } from './emulation-cases.ts'
import { CODE_BASE } from './flat-world.ts'
import { AARCH64, ARM, type NativeCase, runNative } from '@retrap/tooling/arm-native'

export const machineOf = (set: SetName): typeof ARM => (set === 'a64' ? AARCH64 : ARM)

/** A case as the harness takes it. */
function nativeCase(each: EmulationCase): NativeCase {
  const { vcpu } = each
  const state = new Uint8Array(machineOf(each.set).stateBytes)
  const view = new DataView(state.buffer)
  if (each.set === 'a64') {
    for (let i = 0; i < 62; i++) view.setUint32(i * 4, vcpu.x[i] as number, true)
    view.setUint32(248, vcpu.sp[0] as number, true)
    view.setUint32(252, vcpu.sp[1] as number, true)
    for (let i = 0; i < 128; i++) view.setUint32(264 + i * 4, vcpu.v[i] as number, true)
  } else {
    for (let i = 0; i < 15; i++) view.setUint32(i * 4, vcpu.x[i * 2] as number, true)
    view.setUint32(60, vcpu.pstate, true)
    for (let i = 0; i < 64; i++) view.setUint32(64 + i * 4, vcpu.v[i] as number, true)
  }
  return { thumb: each.set === 't32' || each.set === 't16', code: each.code, state, window: each.window }
}

/** What differs between QEMU's registers and memory and ours; '' if nothing does. */
function difference(each: EmulationCase, native: { state: Buffer; window: Buffer }): string {
  const now = emulate(each, false)
  const late = emulate(each, true)
  if (now.outcome !== STATUS_DONE) return `outcome ${now.outcome}`
  if (now.snapshot !== late.snapshot) return 'a late device leaves other registers'
  if (JSON.stringify(now.seen) !== JSON.stringify(late.seen)) return 'a late device sees other accesses'
  const { state } = native
  const aarch64 = each.set === 'a64'
  for (let i = 0; i < (aarch64 ? 62 : 15); i++) {
    if (each.clobbered.includes(aarch64 ? i >> 1 : i)) continue
    const our = now.vcpu.x[aarch64 ? i : i * 2] as number
    if (state.readUInt32LE(i * 4) !== our)
      return `register word ${i}: 0x${our.toString(16)}, QEMU 0x${state.readUInt32LE(i * 4).toString(16)}`
  }
  if (aarch64 && state.readUInt32LE(248) !== now.vcpu.sp[0]) return 'stack pointer'
  const vectors = aarch64 ? 264 : 64
  for (let i = 0; i < (aarch64 ? 128 : 64); i++) {
    if (state.readUInt32LE(vectors + i * 4) !== now.vcpu.v[i]) return `vector word ${i}`
  }
  if (Buffer.compare(native.window, now.window) !== 0) return 'memory'
  return now.vcpu.pc[0] === CODE_BASE + lengthOf(each.set) ? '' : 'PC'
}

/** All cases of a set against QEMU. */
export function compareWithQemu(set: SetName, perForm: number, seed: number): { cases: number; wrong: string[] } {
  const cases = emulationCases(set, perForm, words(seed))
  const native = runNative(machineOf(set), cases.map(nativeCase))
  const wrong = cases.flatMap((each, index) => {
    const text = difference(each, native[index] as { state: Buffer; window: Buffer })
    return text === '' ? [] : [`${each.word.toString(16)} ${each.text} at ${each.address.toString(16)}: ${text}`]
  })
  return { cases: cases.length, wrong }
}

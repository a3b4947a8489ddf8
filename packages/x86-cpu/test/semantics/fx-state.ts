/** The x87 and SSE state as FXSAVE lays it out (Intel SDM vol. 1, 10.5.1), which cases have and the native runner returns. */
import type { Vcpu } from '../../src/index.ts'
import * as S from '../../src/state/state-layout.ts'
import { FX_FDP, FX_FIP, FX_FOP, FX_MXCSR, FX_ST, FX_XMM } from './layout.ts'

/** @param state - of the vCPU, in machine memory */
export function loadFxState(vcpu: Vcpu, state: Uint8Array, fx: Uint8Array): void {
  const word = (at: number): number => (fx[at] as number) | ((fx[at + 1] as number) << 8)
  vcpu.u32[S.S_FCW >>> 2] = word(0)
  const top = (word(2) >>> 11) & 7
  vcpu.u32[S.S_FSW >>> 2] = word(2) & ~0x3800
  vcpu.u32[S.S_FTOP >>> 2] = top
  vcpu.u32[S.S_FTAG_EMPTY >>> 2] = ~(fx[4] as number) & 0xff
  vcpu.u32[S.S_MXCSR >>> 2] = word(FX_MXCSR)
  vcpu.u32[S.S_FOP >>> 2] = word(FX_FOP) & 0x7ff
  // The 64-bit form has no selectors.
  vcpu.u32[S.S_FCS >>> 2] = vcpu.u32[S.S_FDS >>> 2] = 0
  state.set(fx.subarray(FX_FIP, FX_FIP + 8), S.S_FIP)
  state.set(fx.subarray(FX_FDP, FX_FDP + 8), S.S_FDP)
  for (let i = 0; i < 8; i++)
    state.set(fx.subarray(FX_ST + 16 * i, FX_ST + 16 * i + 10), S.S_FPR + 16 * ((top + i) & 7))
  for (let i = 0; i < 16; i++) state.set(fx.subarray(FX_XMM + 16 * i, FX_XMM + 16 * i + 16), S.S_XMM + 64 * i)
}

/** Bytes that a processor does not write stay as they are. */
export function saveFxState(vcpu: Vcpu, state: Uint8Array, fx: Uint8Array): void {
  const put = (at: number, value: number): void => {
    fx[at] = value
    fx[at + 1] = value >>> 8
  }
  const top = vcpu.u32[S.S_FTOP >>> 2] as number
  put(0, vcpu.u32[S.S_FCW >>> 2] as number)
  put(2, (vcpu.u32[S.S_FSW >>> 2] as number) | (top << 11))
  fx[4] = ~(vcpu.u32[S.S_FTAG_EMPTY >>> 2] as number)
  put(FX_MXCSR, vcpu.u32[S.S_MXCSR >>> 2] as number)
  put(FX_FOP, (vcpu.u32[S.S_FOP >>> 2] as number) & 0x7ff)
  fx.set(state.subarray(S.S_FIP, S.S_FIP + 8), FX_FIP)
  fx.set(state.subarray(S.S_FDP, S.S_FDP + 8), FX_FDP)
  for (let i = 0; i < 8; i++) {
    const from = S.S_FPR + 16 * ((top + i) & 7)
    fx.set(state.subarray(from, from + 10), FX_ST + 16 * i)
  }
  for (let i = 0; i < 16; i++) fx.set(state.subarray(S.S_XMM + 64 * i, S.S_XMM + 64 * i + 16), FX_XMM + 16 * i)
}

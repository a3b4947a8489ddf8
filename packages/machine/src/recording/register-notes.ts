import type { X86Domain } from '@retrap/hvm'
import { saveVcpuRegisters } from '@retrap/x86-cpu'
import { noteAll } from './record-gate.ts'

/** The registers of a PC's processors. Here, so that an Arm board does not carry x86's. */
export const noteRegisters = (vcpus: X86Domain['vcpus']): Uint8Array =>
  noteAll(vcpus, ({ cpu }) => saveVcpuRegisters(cpu))

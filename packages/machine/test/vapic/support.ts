import { defineDevice, type DeviceModel } from '@retrap/device'
import { type Assembler, dword, eax, esp, type Label } from '@retrap/x86-assembler'
import { restoreVcpu, saveVcpu, CS } from '@retrap/x86-cpu'
import type { Pc, PcOptions } from '@retrap/machine'
import { buildKernel, type Kernel, type KernelOptions, KERNEL, TPR } from './kernel.ts'
import { machineFor } from './storm.ts'

/** The register's linear address, as an instruction has it. */
export const address = [TPR & 255, (TPR >>> 8) & 255, (TPR >>> 16) & 255, TPR >>> 24] as const

/** `mov [tpr], ecx`: becomes a push and a call. */
export const WRITE_ECX = [0x89, 0x0d, ...address] as const
/** `mov [tpr], eax`. */
export const WRITE_EAX = [0xa3, ...address] as const
/** `mov eax, [tpr]`. */
export const READ_EAX = [0xa1, ...address] as const

/** A routine that writes the register, which code goes around. */
export function writeRoutine(asm: Assembler): Label {
  const [routine, over] = [asm.label(), asm.label()]
  asm
    .jmp(over)
    .bind(routine)
    .db(...WRITE_ECX)
    .ret()
    .bind(over)
  return routine
}

/** An interrupt's vector into the log. */
export function logVector({ asm, log }: Kernel): void {
  asm.mov(eax, dword(esp, { disp: 32 })).or(eax, 0x1000_0000)
  log()
}

/** A machine with a kernel whose processors do all the same. */
export function machineWith(
  main: KernelOptions['main'],
  options: Partial<PcOptions> & { readonly kernelOptions?: Partial<KernelOptions> } = {},
): Promise<Pc> {
  const { kernelOptions, ...rest } = options
  const cpus = rest.cpus ?? 1
  return machineFor(buildKernel({ cpus, interrupt: logVector, ...kernelOptions, main }), cpus, { vapic: true, ...rest })
}

/** Sites as lines: address and bytes. */
export const sitesOf = (pc: Pc): string[] =>
  (pc.vapic?.patcher.sites ?? []).map(
    ({ address: at, original }) =>
      `${at.toString(16)} ${[...original].map((byte) => byte.toString(16).padStart(2, '0')).join('')}`,
  )

/** Bytes of the kernel by linear address. */
export function bytesAt(pc: Pc, at: number, length: number): number[] {
  const bytes = new Uint8Array(length)
  pc.domain.guestMemory.read(at - KERNEL, bytes)
  return [...bytes]
}

/** Where a processor is: linear address of its next instruction. */
export function addressOf(pc: Pc, cpu = 0): number {
  const registers = pc.domain.vcpus[cpu]?.cpu.registers
  if (registers === undefined) return 0
  return (registers.eip + registers.segmentBaseLo(CS)) >>> 0
}

/** Lets the first processor execute until it is at `target`, as often as `times`, and then `further` instructions. */
export function stepTo(pc: Pc, target: number, times: number, further: number): void {
  const step = (): void => {
    const vcpu = pc.domain.vcpus[0]
    const exit = vcpu?.cpu.step()
    vcpu?.vapic?.settle()
    if (exit?.reason !== 'budget') throw new Error(`the guest ended with ${JSON.stringify(exit)}`)
  }
  for (let time = 0; time < times; time++) {
    do step()
    while (addressOf(pc) !== target)
  }
  for (let i = 0; i < further; i++) step()
}

/** Lets all processors execute in turns of so many instructions. @returns whether the guest goes on */
export function advance(pc: Pc, turns: number, quantum: number): boolean {
  for (let turn = 0; turn < turns; turn++) {
    let busy = false
    for (const vcpu of pc.domain.vcpus) {
      if (vcpu.cpu.dormant) continue
      const exit = vcpu.cpu.run(quantum)
      vcpu.vapic?.settle()
      busy ||= exit.reason === 'budget' || exit.reason === 'yield' || exit.reason === 'pause'
    }
    if (!busy) return false
  }
  return true
}

/** Guest RAM from one machine to another, but for ranges that are left as they are. */
export function copyMemory(
  from: Pc,
  to: Pc,
  ranges: readonly { readonly gpa: number; readonly bytes: number }[],
): void {
  for (const { gpa, bytes } of ranges) {
    const memory = new Uint8Array(bytes)
    from.domain.guestMemory.read(gpa, memory)
    to.domain.guestMemory.load(gpa, memory)
  }
}

/** Processors and interrupt controllers. */
export function copyProcessors(from: Pc, to: Pc): void {
  from.domain.vcpus.forEach(({ cpu }, i) => {
    const target = to.domain.vcpus[i]
    if (target !== undefined) restoreVcpu(target.cpu, saveVcpu(cpu))
  })
  to.domain.interrupts.restore(from.domain.interrupts.save())
}

/** Stops the machine that it is in when the guest writes to this port. */
export const STOP_PORT = 0xe0
export interface Stopper {
  pc?: Pc
}
export function stopper(machine: Stopper): DeviceModel {
  return defineDevice({
    name: 'stopper',
    synchronous: true,
    ports: { base: STOP_PORT, size: 1 },
    write: () => machine.pc?.domain.stop({ reason: 'stopped' }),
  })
}

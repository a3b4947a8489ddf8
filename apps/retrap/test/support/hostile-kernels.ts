// Small multiboot kernels that give the host much to do for few instructions. Each prints a batch of serial output and
// then does its one thing for ever.
import * as x86 from '@retrap/x86-assembler'

const LOAD = 0x10_0000
const CODE = 0x08
const DATA = 0x10
const STACK = 0x9_0000
/** A serial port hands so many bytes to the host at once, and fewer only later. */
const BATCH_BYTES = 1024
const SERIAL = 0x3f8
const VECTOR = 0xf0
/** Where fw_cfg finds the description of a transfer. */
const TRANSFER = 0x8_0000
const FW_CFG_DMA_LOW = 0x518
const ENTRIES = 2000
/** Machine frames, and what the guest calls itself (public/xen.h). */
const DOMID_SELF = 0x7ff0

const LOCAL_APIC = 0xfee0_0000
const IA32_TSC_DEADLINE = 0x6e0
const HPET = 0xfed0_0000
const HPET_LINE = 20

/** Emits what a kernel does for ever. `data` is bound behind the code, to what `words` appends there. */
type Payload = (asm: x86.Assembler, data: x86.Label, words: number[]) => void

function kernel(payload: Payload): Uint8Array {
  const asm = new x86.Assembler({ bits: 32, address: LOAD })
  const [start, flat, gdt, idt] = [asm.label('start'), asm.label('flat'), asm.label('gdt'), asm.label('idt')]
  const [gdtPointer, idtPointer] = [asm.label('gdt pointer'), asm.label('idt pointer')]
  const [handler, data] = [asm.label('handler'), asm.label('data')]
  // With flag 16 the header says where the image goes, and the image need not be an ELF file.
  asm.dd(0x1bad_b002, 0x1_0000, -(0x1bad_b002 + 0x1_0000) >>> 0, LOAD, LOAD, 0, 0, start)
  asm.bind(gdtPointer).dw(23).dd(gdt)
  asm.bind(idtPointer).dw(0x7ff).dd(idt)
  asm.align(8).bind(gdt).dd(0, 0, 0xffff, 0x00cf_9b00, 0xffff, 0x00cf_9300)
  asm.bind(idt)
  for (let vector = 0; vector < 256; vector++) asm.dw(handler.bits(0, 16), CODE, 0x8e00, handler.bits(16, 16))

  asm.bind(start).cli().cld().mov(x86.esp, STACK)
  asm.lgdt(x86.fword(gdtPointer)).lidt(x86.fword(idtPointer)).jmp(x86.far32(CODE, flat))
  asm.bind(flat).mov(x86.ax, DATA).mov(x86.ds, x86.ax).mov(x86.es, x86.ax).mov(x86.ss, x86.ax)
  // No interrupt but the kernel's own, and no tick of the PIT: mode 0 without a count.
  asm.mov(x86.al, 0xff).out(0x21, x86.al).out(0xa1, x86.al).mov(x86.al, 0x30).out(0x43, x86.al)
  asm.mov(x86.dx, SERIAL).mov(x86.ecx, BATCH_BYTES)
  const print = asm.here('print')
  asm.out(x86.dx, x86.al).dec(x86.ecx).jnz(print)
  const words: number[] = []
  payload(asm, data, words)
  asm
    .bind(handler)
    .mov(x86.dword(LOCAL_APIC + 0xb0), 0)
    .iretd()
  asm.align(16).bind(data)
  for (const word of words) asm.dd(word)
  return asm.assemble().bytes
}

const faults: Payload = (asm) => {
  const again = asm.here('again')
  // The handler returns to it.
  asm.ud2().jmp(again)
}

/** fw_cfg's DMA interface (QEMU's documentation of fw_cfg): control, length and address, all big-endian. */
const firmwareTransfers: Payload = (asm) => {
  asm.mov(x86.dword(TRANSFER + 4), 0xffff_ff3f | 0).mov(x86.dword(TRANSFER + 8), 0)
  asm.mov(x86.dword(TRANSFER + 12), 0x0000_2000)
  const again = asm.here('again')
  // Selects the file directory, and reads nearly 1 GiB of it to 2 MiB.
  asm.mov(x86.dword(TRANSFER), 0x0a00_1900)
  asm.mov(x86.edx, FW_CFG_DMA_LOW).mov(x86.eax, 0x0000_0800).out(x86.dx, x86.eax).jmp(again)
}

/** `multicall` of as many `xen_version` with the argument of `XENVER_capabilities`. */
const multicalls: Payload = (asm, data, words) => {
  for (let i = 0; i < ENTRIES; i++) words.push(17, 0, 3, 0x30_0000, 0, 0, 0, 0)
  const again = asm.here('again')
  asm.mov(x86.eax, 13).mov(x86.ebx, data).mov(x86.ecx, ENTRIES).vmcall().jmp(again)
}

/** `grant_table_op`, GNTTABOP_copy: as many copies of a page, from frame to frame of the guest. */
const grantCopies: Payload = (asm, data, words) => {
  for (let i = 0; i < ENTRIES; i++) words.push(0x300, DOMID_SELF, 0x301, DOMID_SELF, 0x1000, 0)
  const again = asm.here('again')
  asm.mov(x86.eax, 20).mov(x86.ebx, 5).mov(x86.ecx, data).mov(x86.edx, ENTRIES).vmcall().jmp(again)
}

/** Sleeps until the TSC has a value of 2^62; deterministic time goes there at once. */
function sleepLong(asm: x86.Assembler): void {
  asm.mov(x86.dword(LOCAL_APIC + 0xf0), 0x1ff).mov(x86.dword(LOCAL_APIC + 0x320), 0x4_0000 | VECTOR)
  asm.mov(x86.ecx, IA32_TSC_DEADLINE).mov(x86.eax, 0).mov(x86.edx, 0x4000_0000).wrmsr().sti().hlt().cli()
}

const shortApicPeriod: Payload = (asm) => {
  sleepLong(asm)
  // Divides by 1; periodic; one count.
  asm.mov(x86.dword(LOCAL_APIC + 0x3e0), 0xb).mov(x86.dword(LOCAL_APIC + 0x320), 0x2_0000 | VECTOR)
  asm.mov(x86.dword(LOCAL_APIC + 0x380), 1).sti()
  const again = asm.here('again')
  asm.hlt().jmp(again)
}

const shortHpetPeriod: Payload = (asm) => {
  sleepLong(asm)
  const configuration = 0x4c | (HPET_LINE << 9)
  asm.mov(x86.dword(HPET + 0x10), 1).mov(x86.dword(HPET + 0x100), configuration)
  asm
    .mov(x86.eax, x86.dword(HPET + 0xf0))
    .mov(x86.edx, x86.dword(HPET + 0xf4))
    .add(x86.eax, 200)
    .adc(x86.edx, 0)
  asm
    .mov(x86.dword(HPET + 0x108), x86.eax)
    .mov(x86.dword(HPET + 0x100), configuration)
    .mov(x86.dword(HPET + 0x10c), x86.edx)
  asm
    .mov(x86.dword(HPET + 0x108), 1)
    .mov(x86.dword(HPET + 0x10c), 0)
    .sti()
  const again = asm.here('again')
  asm.hlt().jmp(again)
}

/** A kernel and the options that it needs. */
export interface HostileKernel {
  readonly name: string
  readonly image: Uint8Array
  readonly args: readonly string[]
}

const XEN = ['--hypervisor', 'xen']
const DETERMINISTIC = ['--deterministic']

const EVERYWHERE = [
  { name: 'faults without end', payload: faults, args: [] },
  { name: 'firmware transfers of 1 GiB', payload: firmwareTransfers, args: ['--memory', '1G'] },
  { name: 'multicalls of 2,000 calls', payload: multicalls, args: XEN },
  { name: 'grant copies of 2,000 pages', payload: grantCopies, args: XEN },
]

/** The kernels, on each clock where they can do what they are for. */
export function hostileKernels(): HostileKernel[] {
  const everywhere = EVERYWHERE.map(({ name, payload, args }) => ({ name, image: kernel(payload), args }))
  return [
    ...everywhere,
    ...everywhere.map(({ name, image, args }) => ({ name, image, args: [...args, ...DETERMINISTIC] })),
    { name: 'an APIC timer of one count, late in time', image: kernel(shortApicPeriod), args: DETERMINISTIC },
    { name: 'an HPET period of one tick, late in time', image: kernel(shortHpetPeriod), args: DETERMINISTIC },
  ]
}

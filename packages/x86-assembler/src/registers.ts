/**
 * The kinds of register that an operand can name.
 *
 * `gp8High` is AH, CH, DH, BH: they share numbers 4..7 with SPL, BPL, SIL, DIL and cannot stand
 * in one instruction with a REX prefix (SDM vol. 2A, "REX Prefixes").
 */
export type RegisterClass =
  | 'gp8'
  | 'gp8High'
  | 'gp16'
  | 'gp32'
  | 'gp64'
  | 'segment'
  | 'control'
  | 'debug'
  | 'x87'
  | 'mmx'
  | 'xmm'
  | 'ymm'
  | 'mask'
  | 'tile'

/**
 * One register. The class is a type parameter, so that `asm.mov(eax, rbx)` is refused by the compiler.
 *
 * `number` is the architectural number with REX extension applied: 0..15, and 4..7 for AH..BH.
 */
export interface Register<Class extends RegisterClass = RegisterClass> {
  /** Tells the kinds of operand apart. */
  readonly type: 'register'
  /** Its class. */
  readonly class: Class
  /** Architectural number, as encoded with REX. */
  readonly number: number
  /** Its name in lower case. */
  readonly name: string
}

/** A byte register, AH to BH included. */
export type Gp8 = Register<'gp8'> | Register<'gp8High'>
/** A 16-bit general register. */
export type Gp16 = Register<'gp16'>
/** A 32-bit general register. */
export type Gp32 = Register<'gp32'>
/** A 64-bit general register. */
export type Gp64 = Register<'gp64'>
/** ES, CS, SS, DS, FS or GS. */
export type SegmentRegister = Register<'segment'>
/** CR0 to CR15. */
export type ControlRegister = Register<'control'>
/** DR0 to DR15. */
export type DebugRegister = Register<'debug'>
/** ST(0) to ST(7). */
export type X87Register = Register<'x87'>
/** MM0 to MM7. */
export type MmxRegister = Register<'mmx'>
/** XMM0 to XMM15. */
export type XmmRegister = Register<'xmm'>
/** YMM0 to YMM15. */
export type YmmRegister = Register<'ymm'>
/** The mask registers K0 to K7. */
export type MaskRegister = Register<'mask'>
/** The tile registers TMM0 to TMM7. */
export type TileRegister = Register<'tile'>

function register<Class extends RegisterClass>(kind: Class, number: number, name: string): Register<Class> {
  return Object.freeze({ type: 'register', class: kind, number, name })
}

/** AL. */
export const al: Register<'gp8'> = register('gp8', 0, 'al')
/** CL. */
export const cl: Register<'gp8'> = register('gp8', 1, 'cl')
/** DL. */
export const dl: Register<'gp8'> = register('gp8', 2, 'dl')
/** BL. */
export const bl: Register<'gp8'> = register('gp8', 3, 'bl')
/** SPL. */
export const spl: Register<'gp8'> = register('gp8', 4, 'spl')
/** BPL. */
export const bpl: Register<'gp8'> = register('gp8', 5, 'bpl')
/** SIL. */
export const sil: Register<'gp8'> = register('gp8', 6, 'sil')
/** DIL. */
export const dil: Register<'gp8'> = register('gp8', 7, 'dil')
/** R8B. */
export const r8b: Register<'gp8'> = register('gp8', 8, 'r8b')
/** R9B. */
export const r9b: Register<'gp8'> = register('gp8', 9, 'r9b')
/** R10B. */
export const r10b: Register<'gp8'> = register('gp8', 10, 'r10b')
/** R11B. */
export const r11b: Register<'gp8'> = register('gp8', 11, 'r11b')
/** R12B. */
export const r12b: Register<'gp8'> = register('gp8', 12, 'r12b')
/** R13B. */
export const r13b: Register<'gp8'> = register('gp8', 13, 'r13b')
/** R14B. */
export const r14b: Register<'gp8'> = register('gp8', 14, 'r14b')
/** R15B. */
export const r15b: Register<'gp8'> = register('gp8', 15, 'r15b')

/** AH. */
export const ah: Register<'gp8High'> = register('gp8High', 4, 'ah')
/** CH. */
export const ch: Register<'gp8High'> = register('gp8High', 5, 'ch')
/** DH. */
export const dh: Register<'gp8High'> = register('gp8High', 6, 'dh')
/** BH. */
export const bh: Register<'gp8High'> = register('gp8High', 7, 'bh')

/** AX. */
export const ax: Gp16 = register('gp16', 0, 'ax')
/** CX. */
export const cx: Gp16 = register('gp16', 1, 'cx')
/** DX. */
export const dx: Gp16 = register('gp16', 2, 'dx')
/** BX. */
export const bx: Gp16 = register('gp16', 3, 'bx')
/** SP. */
export const sp: Gp16 = register('gp16', 4, 'sp')
/** BP. */
export const bp: Gp16 = register('gp16', 5, 'bp')
/** SI. */
export const si: Gp16 = register('gp16', 6, 'si')
/** DI. */
export const di: Gp16 = register('gp16', 7, 'di')
/** R8W. */
export const r8w: Gp16 = register('gp16', 8, 'r8w')
/** R9W. */
export const r9w: Gp16 = register('gp16', 9, 'r9w')
/** R10W. */
export const r10w: Gp16 = register('gp16', 10, 'r10w')
/** R11W. */
export const r11w: Gp16 = register('gp16', 11, 'r11w')
/** R12W. */
export const r12w: Gp16 = register('gp16', 12, 'r12w')
/** R13W. */
export const r13w: Gp16 = register('gp16', 13, 'r13w')
/** R14W. */
export const r14w: Gp16 = register('gp16', 14, 'r14w')
/** R15W. */
export const r15w: Gp16 = register('gp16', 15, 'r15w')

/** EAX. */
export const eax: Gp32 = register('gp32', 0, 'eax')
/** ECX. */
export const ecx: Gp32 = register('gp32', 1, 'ecx')
/** EDX. */
export const edx: Gp32 = register('gp32', 2, 'edx')
/** EBX. */
export const ebx: Gp32 = register('gp32', 3, 'ebx')
/** ESP. */
export const esp: Gp32 = register('gp32', 4, 'esp')
/** EBP. */
export const ebp: Gp32 = register('gp32', 5, 'ebp')
/** ESI. */
export const esi: Gp32 = register('gp32', 6, 'esi')
/** EDI. */
export const edi: Gp32 = register('gp32', 7, 'edi')
/** R8D. */
export const r8d: Gp32 = register('gp32', 8, 'r8d')
/** R9D. */
export const r9d: Gp32 = register('gp32', 9, 'r9d')
/** R10D. */
export const r10d: Gp32 = register('gp32', 10, 'r10d')
/** R11D. */
export const r11d: Gp32 = register('gp32', 11, 'r11d')
/** R12D. */
export const r12d: Gp32 = register('gp32', 12, 'r12d')
/** R13D. */
export const r13d: Gp32 = register('gp32', 13, 'r13d')
/** R14D. */
export const r14d: Gp32 = register('gp32', 14, 'r14d')
/** R15D. */
export const r15d: Gp32 = register('gp32', 15, 'r15d')

/** RAX. */
export const rax: Gp64 = register('gp64', 0, 'rax')
/** RCX. */
export const rcx: Gp64 = register('gp64', 1, 'rcx')
/** RDX. */
export const rdx: Gp64 = register('gp64', 2, 'rdx')
/** RBX. */
export const rbx: Gp64 = register('gp64', 3, 'rbx')
/** RSP. */
export const rsp: Gp64 = register('gp64', 4, 'rsp')
/** RBP. */
export const rbp: Gp64 = register('gp64', 5, 'rbp')
/** RSI. */
export const rsi: Gp64 = register('gp64', 6, 'rsi')
/** RDI. */
export const rdi: Gp64 = register('gp64', 7, 'rdi')
/** R8. */
export const r8: Gp64 = register('gp64', 8, 'r8')
/** R9. */
export const r9: Gp64 = register('gp64', 9, 'r9')
/** R10. */
export const r10: Gp64 = register('gp64', 10, 'r10')
/** R11. */
export const r11: Gp64 = register('gp64', 11, 'r11')
/** R12. */
export const r12: Gp64 = register('gp64', 12, 'r12')
/** R13. */
export const r13: Gp64 = register('gp64', 13, 'r13')
/** R14. */
export const r14: Gp64 = register('gp64', 14, 'r14')
/** R15. */
export const r15: Gp64 = register('gp64', 15, 'r15')

/** ES. */
export const es: SegmentRegister = register('segment', 0, 'es')
/** CS. */
export const cs: SegmentRegister = register('segment', 1, 'cs')
/** SS. */
export const ss: SegmentRegister = register('segment', 2, 'ss')
/** DS. */
export const ds: SegmentRegister = register('segment', 3, 'ds')
/** FS. */
export const fs: SegmentRegister = register('segment', 4, 'fs')
/** GS. */
export const gs: SegmentRegister = register('segment', 5, 'gs')

/** CR0. */
export const cr0: ControlRegister = register('control', 0, 'cr0')

/** CR2. */
export const cr2: ControlRegister = register('control', 2, 'cr2')

/** CR3. */
export const cr3: ControlRegister = register('control', 3, 'cr3')

/** CR4. */
export const cr4: ControlRegister = register('control', 4, 'cr4')

/** CR8. */
export const cr8: ControlRegister = register('control', 8, 'cr8')

/** DR0. */
export const dr0: DebugRegister = register('debug', 0, 'dr0')

/** DR1. */
export const dr1: DebugRegister = register('debug', 1, 'dr1')

/** DR2. */
export const dr2: DebugRegister = register('debug', 2, 'dr2')

/** DR3. */
export const dr3: DebugRegister = register('debug', 3, 'dr3')

/** DR6. */
export const dr6: DebugRegister = register('debug', 6, 'dr6')

/** DR7. */
export const dr7: DebugRegister = register('debug', 7, 'dr7')

/** ST0. */
export const st0: X87Register = register('x87', 0, 'st0')
/** ST1. */
export const st1: X87Register = register('x87', 1, 'st1')
/** ST2. */
export const st2: X87Register = register('x87', 2, 'st2')
/** ST3. */
export const st3: X87Register = register('x87', 3, 'st3')
/** ST4. */
export const st4: X87Register = register('x87', 4, 'st4')
/** ST5. */
export const st5: X87Register = register('x87', 5, 'st5')
/** ST6. */
export const st6: X87Register = register('x87', 6, 'st6')
/** ST7. */
export const st7: X87Register = register('x87', 7, 'st7')

/** MM0. */
export const mm0: MmxRegister = register('mmx', 0, 'mm0')
/** MM1. */
export const mm1: MmxRegister = register('mmx', 1, 'mm1')
/** MM2. */
export const mm2: MmxRegister = register('mmx', 2, 'mm2')
/** MM3. */
export const mm3: MmxRegister = register('mmx', 3, 'mm3')
/** MM4. */
export const mm4: MmxRegister = register('mmx', 4, 'mm4')
/** MM5. */
export const mm5: MmxRegister = register('mmx', 5, 'mm5')
/** MM6. */
export const mm6: MmxRegister = register('mmx', 6, 'mm6')
/** MM7. */
export const mm7: MmxRegister = register('mmx', 7, 'mm7')

/** XMM0. */
export const xmm0: XmmRegister = register('xmm', 0, 'xmm0')
/** XMM1. */
export const xmm1: XmmRegister = register('xmm', 1, 'xmm1')
/** XMM2. */
export const xmm2: XmmRegister = register('xmm', 2, 'xmm2')
/** XMM3. */
export const xmm3: XmmRegister = register('xmm', 3, 'xmm3')
/** XMM4. */
export const xmm4: XmmRegister = register('xmm', 4, 'xmm4')
/** XMM5. */
export const xmm5: XmmRegister = register('xmm', 5, 'xmm5')
/** XMM6. */
export const xmm6: XmmRegister = register('xmm', 6, 'xmm6')
/** XMM7. */
export const xmm7: XmmRegister = register('xmm', 7, 'xmm7')
/** XMM8. */
export const xmm8: XmmRegister = register('xmm', 8, 'xmm8')
/** XMM9. */
export const xmm9: XmmRegister = register('xmm', 9, 'xmm9')
/** XMM10. */
export const xmm10: XmmRegister = register('xmm', 10, 'xmm10')
/** XMM11. */
export const xmm11: XmmRegister = register('xmm', 11, 'xmm11')
/** XMM12. */
export const xmm12: XmmRegister = register('xmm', 12, 'xmm12')
/** XMM13. */
export const xmm13: XmmRegister = register('xmm', 13, 'xmm13')
/** XMM14. */
export const xmm14: XmmRegister = register('xmm', 14, 'xmm14')
/** XMM15. */
export const xmm15: XmmRegister = register('xmm', 15, 'xmm15')

/** YMM0. */
export const ymm0: YmmRegister = register('ymm', 0, 'ymm0')
/** YMM1. */
export const ymm1: YmmRegister = register('ymm', 1, 'ymm1')
/** YMM2. */
export const ymm2: YmmRegister = register('ymm', 2, 'ymm2')
/** YMM3. */
export const ymm3: YmmRegister = register('ymm', 3, 'ymm3')
/** YMM4. */
export const ymm4: YmmRegister = register('ymm', 4, 'ymm4')
/** YMM5. */
export const ymm5: YmmRegister = register('ymm', 5, 'ymm5')
/** YMM6. */
export const ymm6: YmmRegister = register('ymm', 6, 'ymm6')
/** YMM7. */
export const ymm7: YmmRegister = register('ymm', 7, 'ymm7')
/** YMM8. */
export const ymm8: YmmRegister = register('ymm', 8, 'ymm8')
/** YMM9. */
export const ymm9: YmmRegister = register('ymm', 9, 'ymm9')
/** YMM10. */
export const ymm10: YmmRegister = register('ymm', 10, 'ymm10')
/** YMM11. */
export const ymm11: YmmRegister = register('ymm', 11, 'ymm11')
/** YMM12. */
export const ymm12: YmmRegister = register('ymm', 12, 'ymm12')
/** YMM13. */
export const ymm13: YmmRegister = register('ymm', 13, 'ymm13')
/** YMM14. */
export const ymm14: YmmRegister = register('ymm', 14, 'ymm14')
/** YMM15. */
export const ymm15: YmmRegister = register('ymm', 15, 'ymm15')
/** K0. */
export const k0: MaskRegister = register('mask', 0, 'k0')
/** K1. */
export const k1: MaskRegister = register('mask', 1, 'k1')
/** K2. */
export const k2: MaskRegister = register('mask', 2, 'k2')
/** K3. */
export const k3: MaskRegister = register('mask', 3, 'k3')
/** K4. */
export const k4: MaskRegister = register('mask', 4, 'k4')
/** K5. */
export const k5: MaskRegister = register('mask', 5, 'k5')
/** K6. */
export const k6: MaskRegister = register('mask', 6, 'k6')
/** K7. */
export const k7: MaskRegister = register('mask', 7, 'k7')
/** TMM0. */
export const tmm0: TileRegister = register('tile', 0, 'tmm0')
/** TMM1. */
export const tmm1: TileRegister = register('tile', 1, 'tmm1')
/** TMM2. */
export const tmm2: TileRegister = register('tile', 2, 'tmm2')
/** TMM3. */
export const tmm3: TileRegister = register('tile', 3, 'tmm3')
/** TMM4. */
export const tmm4: TileRegister = register('tile', 4, 'tmm4')
/** TMM5. */
export const tmm5: TileRegister = register('tile', 5, 'tmm5')
/** TMM6. */
export const tmm6: TileRegister = register('tile', 6, 'tmm6')
/** TMM7. */
export const tmm7: TileRegister = register('tile', 7, 'tmm7')

const byClass: { readonly [Class in RegisterClass]: readonly Register<Class>[] } = {
  gp8: [al, cl, dl, bl, spl, bpl, sil, dil, r8b, r9b, r10b, r11b, r12b, r13b, r14b, r15b],
  gp8High: [ah, ch, dh, bh],
  gp16: [ax, cx, dx, bx, sp, bp, si, di, r8w, r9w, r10w, r11w, r12w, r13w, r14w, r15w],
  gp32: [eax, ecx, edx, ebx, esp, ebp, esi, edi, r8d, r9d, r10d, r11d, r12d, r13d, r14d, r15d],
  gp64: [rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15],
  segment: [es, cs, ss, ds, fs, gs],
  control: [cr0, cr2, cr3, cr4, cr8],
  debug: [dr0, dr1, dr2, dr3, dr6, dr7],
  x87: [st0, st1, st2, st3, st4, st5, st6, st7],
  mmx: [mm0, mm1, mm2, mm3, mm4, mm5, mm6, mm7],
  xmm: [xmm0, xmm1, xmm2, xmm3, xmm4, xmm5, xmm6, xmm7, xmm8, xmm9, xmm10, xmm11, xmm12, xmm13, xmm14, xmm15],
  ymm: [ymm0, ymm1, ymm2, ymm3, ymm4, ymm5, ymm6, ymm7, ymm8, ymm9, ymm10, ymm11, ymm12, ymm13, ymm14, ymm15],
  mask: [k0, k1, k2, k3, k4, k5, k6, k7],
  tile: [tmm0, tmm1, tmm2, tmm3, tmm4, tmm5, tmm6, tmm7],
}

/**
 * The register with this class and architectural number, for code that computes its registers.
 *
 * @param kind - its class
 * @param number - 0..15; 4..7 for `gp8High`, as in ModRM
 * @returns the register, or undefined where the class has none with that number
 */
export function registerOf<Class extends RegisterClass>(kind: Class, number: number): Register<Class> | undefined {
  return byClass[kind].find((candidate) => candidate.number === number)
}

/** The general, segment, control and debug registers. */
import { register } from './register.ts'
import type { ControlRegister, DebugRegister, Gp16, Gp32, Gp64, Register, SegmentRegister } from './register.ts'

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
/** R16B, of APX. */
export const r16b: Register<'gp8'> = register('gp8', 16, 'r16b')
/** R17B, of APX. */
export const r17b: Register<'gp8'> = register('gp8', 17, 'r17b')
/** R18B, of APX. */
export const r18b: Register<'gp8'> = register('gp8', 18, 'r18b')
/** R19B, of APX. */
export const r19b: Register<'gp8'> = register('gp8', 19, 'r19b')
/** R20B, of APX. */
export const r20b: Register<'gp8'> = register('gp8', 20, 'r20b')
/** R21B, of APX. */
export const r21b: Register<'gp8'> = register('gp8', 21, 'r21b')
/** R22B, of APX. */
export const r22b: Register<'gp8'> = register('gp8', 22, 'r22b')
/** R23B, of APX. */
export const r23b: Register<'gp8'> = register('gp8', 23, 'r23b')
/** R24B, of APX. */
export const r24b: Register<'gp8'> = register('gp8', 24, 'r24b')
/** R25B, of APX. */
export const r25b: Register<'gp8'> = register('gp8', 25, 'r25b')
/** R26B, of APX. */
export const r26b: Register<'gp8'> = register('gp8', 26, 'r26b')
/** R27B, of APX. */
export const r27b: Register<'gp8'> = register('gp8', 27, 'r27b')
/** R28B, of APX. */
export const r28b: Register<'gp8'> = register('gp8', 28, 'r28b')
/** R29B, of APX. */
export const r29b: Register<'gp8'> = register('gp8', 29, 'r29b')
/** R30B, of APX. */
export const r30b: Register<'gp8'> = register('gp8', 30, 'r30b')
/** R31B, of APX. */
export const r31b: Register<'gp8'> = register('gp8', 31, 'r31b')

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
/** R16W, of APX. */
export const r16w: Gp16 = register('gp16', 16, 'r16w')
/** R17W, of APX. */
export const r17w: Gp16 = register('gp16', 17, 'r17w')
/** R18W, of APX. */
export const r18w: Gp16 = register('gp16', 18, 'r18w')
/** R19W, of APX. */
export const r19w: Gp16 = register('gp16', 19, 'r19w')
/** R20W, of APX. */
export const r20w: Gp16 = register('gp16', 20, 'r20w')
/** R21W, of APX. */
export const r21w: Gp16 = register('gp16', 21, 'r21w')
/** R22W, of APX. */
export const r22w: Gp16 = register('gp16', 22, 'r22w')
/** R23W, of APX. */
export const r23w: Gp16 = register('gp16', 23, 'r23w')
/** R24W, of APX. */
export const r24w: Gp16 = register('gp16', 24, 'r24w')
/** R25W, of APX. */
export const r25w: Gp16 = register('gp16', 25, 'r25w')
/** R26W, of APX. */
export const r26w: Gp16 = register('gp16', 26, 'r26w')
/** R27W, of APX. */
export const r27w: Gp16 = register('gp16', 27, 'r27w')
/** R28W, of APX. */
export const r28w: Gp16 = register('gp16', 28, 'r28w')
/** R29W, of APX. */
export const r29w: Gp16 = register('gp16', 29, 'r29w')
/** R30W, of APX. */
export const r30w: Gp16 = register('gp16', 30, 'r30w')
/** R31W, of APX. */
export const r31w: Gp16 = register('gp16', 31, 'r31w')

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
/** R16D, of APX. */
export const r16d: Gp32 = register('gp32', 16, 'r16d')
/** R17D, of APX. */
export const r17d: Gp32 = register('gp32', 17, 'r17d')
/** R18D, of APX. */
export const r18d: Gp32 = register('gp32', 18, 'r18d')
/** R19D, of APX. */
export const r19d: Gp32 = register('gp32', 19, 'r19d')
/** R20D, of APX. */
export const r20d: Gp32 = register('gp32', 20, 'r20d')
/** R21D, of APX. */
export const r21d: Gp32 = register('gp32', 21, 'r21d')
/** R22D, of APX. */
export const r22d: Gp32 = register('gp32', 22, 'r22d')
/** R23D, of APX. */
export const r23d: Gp32 = register('gp32', 23, 'r23d')
/** R24D, of APX. */
export const r24d: Gp32 = register('gp32', 24, 'r24d')
/** R25D, of APX. */
export const r25d: Gp32 = register('gp32', 25, 'r25d')
/** R26D, of APX. */
export const r26d: Gp32 = register('gp32', 26, 'r26d')
/** R27D, of APX. */
export const r27d: Gp32 = register('gp32', 27, 'r27d')
/** R28D, of APX. */
export const r28d: Gp32 = register('gp32', 28, 'r28d')
/** R29D, of APX. */
export const r29d: Gp32 = register('gp32', 29, 'r29d')
/** R30D, of APX. */
export const r30d: Gp32 = register('gp32', 30, 'r30d')
/** R31D, of APX. */
export const r31d: Gp32 = register('gp32', 31, 'r31d')

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
/** R16, of APX. */
export const r16: Gp64 = register('gp64', 16, 'r16')
/** R17, of APX. */
export const r17: Gp64 = register('gp64', 17, 'r17')
/** R18, of APX. */
export const r18: Gp64 = register('gp64', 18, 'r18')
/** R19, of APX. */
export const r19: Gp64 = register('gp64', 19, 'r19')
/** R20, of APX. */
export const r20: Gp64 = register('gp64', 20, 'r20')
/** R21, of APX. */
export const r21: Gp64 = register('gp64', 21, 'r21')
/** R22, of APX. */
export const r22: Gp64 = register('gp64', 22, 'r22')
/** R23, of APX. */
export const r23: Gp64 = register('gp64', 23, 'r23')
/** R24, of APX. */
export const r24: Gp64 = register('gp64', 24, 'r24')
/** R25, of APX. */
export const r25: Gp64 = register('gp64', 25, 'r25')
/** R26, of APX. */
export const r26: Gp64 = register('gp64', 26, 'r26')
/** R27, of APX. */
export const r27: Gp64 = register('gp64', 27, 'r27')
/** R28, of APX. */
export const r28: Gp64 = register('gp64', 28, 'r28')
/** R29, of APX. */
export const r29: Gp64 = register('gp64', 29, 'r29')
/** R30, of APX. */
export const r30: Gp64 = register('gp64', 30, 'r30')
/** R31, of APX. */
export const r31: Gp64 = register('gp64', 31, 'r31')

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
/** DR4: another name of DR6, unless CR4.DE is set. */
export const dr4: DebugRegister = register('debug', 4, 'dr4')
/** DR5: another name of DR7, unless CR4.DE is set. */
export const dr5: DebugRegister = register('debug', 5, 'dr5')
/** DR6. */
export const dr6: DebugRegister = register('debug', 6, 'dr6')
/** DR7. */
export const dr7: DebugRegister = register('debug', 7, 'dr7')

/** The x87, MMX, vector, mask, tile and bound registers. */
import { maskable, register } from './register.ts'
import type {
  MaskRegister,
  MmxRegister,
  BoundRegister,
  TileRegister,
  X87Register,
  XmmHighRegister,
  XmmRegister,
  YmmHighRegister,
  YmmRegister,
  ZmmRegister,
} from './register.ts'

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
export const xmm0: XmmRegister = maskable('xmm', 0, 'xmm0')
/** XMM1. */
export const xmm1: XmmRegister = maskable('xmm', 1, 'xmm1')
/** XMM2. */
export const xmm2: XmmRegister = maskable('xmm', 2, 'xmm2')
/** XMM3. */
export const xmm3: XmmRegister = maskable('xmm', 3, 'xmm3')
/** XMM4. */
export const xmm4: XmmRegister = maskable('xmm', 4, 'xmm4')
/** XMM5. */
export const xmm5: XmmRegister = maskable('xmm', 5, 'xmm5')
/** XMM6. */
export const xmm6: XmmRegister = maskable('xmm', 6, 'xmm6')
/** XMM7. */
export const xmm7: XmmRegister = maskable('xmm', 7, 'xmm7')
/** XMM8. */
export const xmm8: XmmRegister = maskable('xmm', 8, 'xmm8')
/** XMM9. */
export const xmm9: XmmRegister = maskable('xmm', 9, 'xmm9')
/** XMM10. */
export const xmm10: XmmRegister = maskable('xmm', 10, 'xmm10')
/** XMM11. */
export const xmm11: XmmRegister = maskable('xmm', 11, 'xmm11')
/** XMM12. */
export const xmm12: XmmRegister = maskable('xmm', 12, 'xmm12')
/** XMM13. */
export const xmm13: XmmRegister = maskable('xmm', 13, 'xmm13')
/** XMM14. */
export const xmm14: XmmRegister = maskable('xmm', 14, 'xmm14')
/** XMM15. */
export const xmm15: XmmRegister = maskable('xmm', 15, 'xmm15')

/** XMM16. */
export const xmm16: XmmHighRegister = maskable('xmmHigh', 16, 'xmm16')
/** XMM17. */
export const xmm17: XmmHighRegister = maskable('xmmHigh', 17, 'xmm17')
/** XMM18. */
export const xmm18: XmmHighRegister = maskable('xmmHigh', 18, 'xmm18')
/** XMM19. */
export const xmm19: XmmHighRegister = maskable('xmmHigh', 19, 'xmm19')
/** XMM20. */
export const xmm20: XmmHighRegister = maskable('xmmHigh', 20, 'xmm20')
/** XMM21. */
export const xmm21: XmmHighRegister = maskable('xmmHigh', 21, 'xmm21')
/** XMM22. */
export const xmm22: XmmHighRegister = maskable('xmmHigh', 22, 'xmm22')
/** XMM23. */
export const xmm23: XmmHighRegister = maskable('xmmHigh', 23, 'xmm23')
/** XMM24. */
export const xmm24: XmmHighRegister = maskable('xmmHigh', 24, 'xmm24')
/** XMM25. */
export const xmm25: XmmHighRegister = maskable('xmmHigh', 25, 'xmm25')
/** XMM26. */
export const xmm26: XmmHighRegister = maskable('xmmHigh', 26, 'xmm26')
/** XMM27. */
export const xmm27: XmmHighRegister = maskable('xmmHigh', 27, 'xmm27')
/** XMM28. */
export const xmm28: XmmHighRegister = maskable('xmmHigh', 28, 'xmm28')
/** XMM29. */
export const xmm29: XmmHighRegister = maskable('xmmHigh', 29, 'xmm29')
/** XMM30. */
export const xmm30: XmmHighRegister = maskable('xmmHigh', 30, 'xmm30')
/** XMM31. */
export const xmm31: XmmHighRegister = maskable('xmmHigh', 31, 'xmm31')

/** YMM0. */
export const ymm0: YmmRegister = maskable('ymm', 0, 'ymm0')
/** YMM1. */
export const ymm1: YmmRegister = maskable('ymm', 1, 'ymm1')
/** YMM2. */
export const ymm2: YmmRegister = maskable('ymm', 2, 'ymm2')
/** YMM3. */
export const ymm3: YmmRegister = maskable('ymm', 3, 'ymm3')
/** YMM4. */
export const ymm4: YmmRegister = maskable('ymm', 4, 'ymm4')
/** YMM5. */
export const ymm5: YmmRegister = maskable('ymm', 5, 'ymm5')
/** YMM6. */
export const ymm6: YmmRegister = maskable('ymm', 6, 'ymm6')
/** YMM7. */
export const ymm7: YmmRegister = maskable('ymm', 7, 'ymm7')
/** YMM8. */
export const ymm8: YmmRegister = maskable('ymm', 8, 'ymm8')
/** YMM9. */
export const ymm9: YmmRegister = maskable('ymm', 9, 'ymm9')
/** YMM10. */
export const ymm10: YmmRegister = maskable('ymm', 10, 'ymm10')
/** YMM11. */
export const ymm11: YmmRegister = maskable('ymm', 11, 'ymm11')
/** YMM12. */
export const ymm12: YmmRegister = maskable('ymm', 12, 'ymm12')
/** YMM13. */
export const ymm13: YmmRegister = maskable('ymm', 13, 'ymm13')
/** YMM14. */
export const ymm14: YmmRegister = maskable('ymm', 14, 'ymm14')
/** YMM15. */
export const ymm15: YmmRegister = maskable('ymm', 15, 'ymm15')

/** YMM16. */
export const ymm16: YmmHighRegister = maskable('ymmHigh', 16, 'ymm16')
/** YMM17. */
export const ymm17: YmmHighRegister = maskable('ymmHigh', 17, 'ymm17')
/** YMM18. */
export const ymm18: YmmHighRegister = maskable('ymmHigh', 18, 'ymm18')
/** YMM19. */
export const ymm19: YmmHighRegister = maskable('ymmHigh', 19, 'ymm19')
/** YMM20. */
export const ymm20: YmmHighRegister = maskable('ymmHigh', 20, 'ymm20')
/** YMM21. */
export const ymm21: YmmHighRegister = maskable('ymmHigh', 21, 'ymm21')
/** YMM22. */
export const ymm22: YmmHighRegister = maskable('ymmHigh', 22, 'ymm22')
/** YMM23. */
export const ymm23: YmmHighRegister = maskable('ymmHigh', 23, 'ymm23')
/** YMM24. */
export const ymm24: YmmHighRegister = maskable('ymmHigh', 24, 'ymm24')
/** YMM25. */
export const ymm25: YmmHighRegister = maskable('ymmHigh', 25, 'ymm25')
/** YMM26. */
export const ymm26: YmmHighRegister = maskable('ymmHigh', 26, 'ymm26')
/** YMM27. */
export const ymm27: YmmHighRegister = maskable('ymmHigh', 27, 'ymm27')
/** YMM28. */
export const ymm28: YmmHighRegister = maskable('ymmHigh', 28, 'ymm28')
/** YMM29. */
export const ymm29: YmmHighRegister = maskable('ymmHigh', 29, 'ymm29')
/** YMM30. */
export const ymm30: YmmHighRegister = maskable('ymmHigh', 30, 'ymm30')
/** YMM31. */
export const ymm31: YmmHighRegister = maskable('ymmHigh', 31, 'ymm31')

/** ZMM0. */
export const zmm0: ZmmRegister = maskable('zmm', 0, 'zmm0')
/** ZMM1. */
export const zmm1: ZmmRegister = maskable('zmm', 1, 'zmm1')
/** ZMM2. */
export const zmm2: ZmmRegister = maskable('zmm', 2, 'zmm2')
/** ZMM3. */
export const zmm3: ZmmRegister = maskable('zmm', 3, 'zmm3')
/** ZMM4. */
export const zmm4: ZmmRegister = maskable('zmm', 4, 'zmm4')
/** ZMM5. */
export const zmm5: ZmmRegister = maskable('zmm', 5, 'zmm5')
/** ZMM6. */
export const zmm6: ZmmRegister = maskable('zmm', 6, 'zmm6')
/** ZMM7. */
export const zmm7: ZmmRegister = maskable('zmm', 7, 'zmm7')
/** ZMM8. */
export const zmm8: ZmmRegister = maskable('zmm', 8, 'zmm8')
/** ZMM9. */
export const zmm9: ZmmRegister = maskable('zmm', 9, 'zmm9')
/** ZMM10. */
export const zmm10: ZmmRegister = maskable('zmm', 10, 'zmm10')
/** ZMM11. */
export const zmm11: ZmmRegister = maskable('zmm', 11, 'zmm11')
/** ZMM12. */
export const zmm12: ZmmRegister = maskable('zmm', 12, 'zmm12')
/** ZMM13. */
export const zmm13: ZmmRegister = maskable('zmm', 13, 'zmm13')
/** ZMM14. */
export const zmm14: ZmmRegister = maskable('zmm', 14, 'zmm14')
/** ZMM15. */
export const zmm15: ZmmRegister = maskable('zmm', 15, 'zmm15')
/** ZMM16. */
export const zmm16: ZmmRegister = maskable('zmm', 16, 'zmm16')
/** ZMM17. */
export const zmm17: ZmmRegister = maskable('zmm', 17, 'zmm17')
/** ZMM18. */
export const zmm18: ZmmRegister = maskable('zmm', 18, 'zmm18')
/** ZMM19. */
export const zmm19: ZmmRegister = maskable('zmm', 19, 'zmm19')
/** ZMM20. */
export const zmm20: ZmmRegister = maskable('zmm', 20, 'zmm20')
/** ZMM21. */
export const zmm21: ZmmRegister = maskable('zmm', 21, 'zmm21')
/** ZMM22. */
export const zmm22: ZmmRegister = maskable('zmm', 22, 'zmm22')
/** ZMM23. */
export const zmm23: ZmmRegister = maskable('zmm', 23, 'zmm23')
/** ZMM24. */
export const zmm24: ZmmRegister = maskable('zmm', 24, 'zmm24')
/** ZMM25. */
export const zmm25: ZmmRegister = maskable('zmm', 25, 'zmm25')
/** ZMM26. */
export const zmm26: ZmmRegister = maskable('zmm', 26, 'zmm26')
/** ZMM27. */
export const zmm27: ZmmRegister = maskable('zmm', 27, 'zmm27')
/** ZMM28. */
export const zmm28: ZmmRegister = maskable('zmm', 28, 'zmm28')
/** ZMM29. */
export const zmm29: ZmmRegister = maskable('zmm', 29, 'zmm29')
/** ZMM30. */
export const zmm30: ZmmRegister = maskable('zmm', 30, 'zmm30')
/** ZMM31. */
export const zmm31: ZmmRegister = maskable('zmm', 31, 'zmm31')

/** K0. */
export const k0: MaskRegister & { readonly number: 0 } = maskable('mask', 0, 'k0') as MaskRegister & {
  readonly number: 0
}
/** K1. */
export const k1: MaskRegister = maskable('mask', 1, 'k1')
/** K2. */
export const k2: MaskRegister = maskable('mask', 2, 'k2')
/** K3. */
export const k3: MaskRegister = maskable('mask', 3, 'k3')
/** K4. */
export const k4: MaskRegister = maskable('mask', 4, 'k4')
/** K5. */
export const k5: MaskRegister = maskable('mask', 5, 'k5')
/** K6. */
export const k6: MaskRegister = maskable('mask', 6, 'k6')
/** K7. */
export const k7: MaskRegister = maskable('mask', 7, 'k7')

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
/** BND0. */
export const bnd0: BoundRegister = register('bound', 0, 'bnd0')
/** BND1. */
export const bnd1: BoundRegister = register('bound', 1, 'bnd1')
/** BND2. */
export const bnd2: BoundRegister = register('bound', 2, 'bnd2')
/** BND3. */
export const bnd3: BoundRegister = register('bound', 3, 'bnd3')

import { addFeatures } from './feature-table.ts'

/**
 * Features that are not in every program: see `loadInstructions`. They are added to the table with the models that have them.
 *
 * Source: Intel SDM vol. 2A, "CPUID—CPU Identification"; Intel Architecture Instruction Set Extensions Programming Reference;
 * Intel Advanced Vector Extensions 10.1 Architecture Specification, table of the AVX-512 features that AVX10 includes.
 */
export const addExtendedFeatures = (): void =>
  addFeatures({
    '7.0.ebx':
      '*AVX512F 16 AVX2 F16C FMA, *AVX512DQ 17 AVX512F, *AVX512_IFMA 21 AVX512F, *AVX512CD 28 AVX512F, ' +
      '*AVX512BW 30 AVX512F, *AVX512VL 31 AVX512F',
    '7.0.ecx':
      '*AVX512_VBMI 1 AVX512BW, *AVX512_VBMI2 6 AVX512BW, *AVX512_VNNI 11 AVX512F, *AVX512_BITALG 12 AVX512BW, ' +
      '*AVX512_VPOPCNTDQ 14 AVX512F, *MOVDIRI 27, *MOVDIR64B 28, *ENQCMD 29 MSR',
    '7.0.edx':
      '*AVX512_VP2INTERSECT 8 AVX512F, *AMX_BF16 22 AMX_TILE, *AVX512_FP16 23 AVX512BW AVX512DQ AVX512VL, ' +
      '*AMX_TILE 24 LM XSAVEC, *AMX_INT8 25 AMX_TILE',
    '7.1.eax':
      '*SHA512 0 AVX2, *SM3 1 AVX, *SM4 2 AVX2, *RAO_INT 3 LM, *AVX512_BF16 5 AVX512BW, *CMPCCXADD 7 LM, ' +
      '*AMX_FP16 21 AMX_TILE, *AVX_IFMA 23 AVX2, *MOVRS 31 LM',
    '7.1.edx':
      '*AVX_VNNI_INT8 4 AVX2, *AVX_NE_CONVERT 5 AVX2, *AMX_COMPLEX 8 AMX_TILE, *AVX_VNNI_INT16 10 AVX2, ' +
      '*AVX10_1 19 AVX512CD AVX512_BF16 AVX512_BITALG AVX512_FP16 AVX512_IFMA AVX512_VBMI AVX512_VBMI2 AVX512_VNNI AVX512_VPOPCNTDQ GFNI VAES VPCLMULQDQ, ' +
      '*PREFETCHI 14 LM, *USER_MSR 15 LM MSR, ' +
      '*APX_F 21 LM XSAVE',
    'd.1.eax': '*XFD 4 XSAVEC MSR',
    '1e.1.eax': '*AMX_FP8 4 AMX_TILE, *AMX_TF32 6 AMX_TILE, *AMX_AVX512 7 AMX_TILE AVX512F, *AMX_MOVRS 8 AMX_TILE',
    '': '*AVX10_2 0 AVX10_1',
  })

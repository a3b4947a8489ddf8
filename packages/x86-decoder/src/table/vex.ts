/**
 * VEX-encoded general-purpose instructions: BMI1 and BMI2, and model-specific registers by immediate.
 *
 * Source: Intel SDM vol. 2D, Appendix A, "Three-byte Opcode Map", rows with superscript (v).
 */
export const vexRows: string = `
VEX.NP 0F 38 F2     ANDN        Gy,By,Ey    BMI1 l0
VEX.NP 0F 38 F3 /1  BLSR        By,Ey       BMI1 l0
VEX.NP 0F 38 F3 /2  BLSMSK      By,Ey       BMI1 l0
VEX.NP 0F 38 F3 /3  BLSI        By,Ey       BMI1 l0
VEX.NP 0F 38 F5     BZHI        Gy,Ey,By    BMI2 l0
VEX.F3 0F 38 F5     PEXT        Gy,By,Ey    BMI2 l0
VEX.F2 0F 38 F5     PDEP        Gy,By,Ey    BMI2 l0
VEX.F2 0F 38 F6     MULX        Gy,By,Ey    BMI2 l0
VEX.NP 0F 38 F7     BEXTR       Gy,Ey,By    BMI1 l0
VEX.66 0F 38 F7     SHLX        Gy,Ey,By    BMI2 l0
VEX.F3 0F 38 F7     SARX        Gy,Ey,By    BMI2 l0
VEX.F2 0F 38 F7     SHRX        Gy,Ey,By    BMI2 l0
VEX.F2 0F 3A F0     RORX        Gy,Ey,Ib    BMI2 l0
VEX.F2 M7 F6 /0     RDMSR       Rq,uId      MSR_IMM o64 w0 l0 cpl0
VEX.F3 M7 F6 /0     WRMSRNS     uId,Rq      MSR_IMM o64 w0 l0 cpl0
VEX.F2 M7 F8 /0     URDMSR      Rq,uId      USER_MSR o64 w0 l0
VEX.F3 M7 F8 /0     UWRMSR      uId,Rq      USER_MSR o64 w0 l0
`

/**
 * Names of SYS operations: op1, CRn, CRm, then the names for op2 0, 1, 2, ... (`-`: none). A name ends with `.` if it takes
 * no register, with `?` if the register is optional.
 *
 * Source: Arm ARM (DDI 0487), "System instruction class encoding overview". Compared with LLVM 22, all encodings.
 */
export const systemInstructionRows: string = `
0 7 1  ic_ialluis.
0 7 5  ic_iallu.
0 7 6  - dc_ivac dc_isw dc_igvac dc_igsw dc_igdvac dc_igdsw
0 7 7  - - - - gcspushx. gcspopcx. gcspopx.
0 7 8  at_s1e1r at_s1e1w at_s1e0r at_s1e0w
0 7 9  at_s1e1rp at_s1e1wp at_s1e1a
0 7 10  - - dc_csw - dc_cgsw - dc_cgdsw
0 7 14  - - dc_cisw - dc_cigsw - dc_cigdsw
0 7 15  - dc_civaps - - - dc_cigdvaps
0 8 1  tlbi_vmalle1os? tlbi_vae1os tlbi_aside1os tlbi_vaae1os - tlbi_vale1os - tlbi_vaale1os
0 8 2  - tlbi_rvae1is - tlbi_rvaae1is - tlbi_rvale1is - tlbi_rvaale1is
0 8 3  tlbi_vmalle1is? tlbi_vae1is tlbi_aside1is tlbi_vaae1is - tlbi_vale1is - tlbi_vaale1is
0 8 5  - tlbi_rvae1os - tlbi_rvaae1os - tlbi_rvale1os - tlbi_rvaale1os
0 8 6  - tlbi_rvae1 - tlbi_rvaae1 - tlbi_rvale1 - tlbi_rvaale1
0 8 7  tlbi_vmalle1. tlbi_vae1 tlbi_aside1 tlbi_vaae1 - tlbi_vale1 - tlbi_vaale1
0 9 1  tlbi_vmalle1osnxs? tlbi_vae1osnxs tlbi_aside1osnxs tlbi_vaae1osnxs - tlbi_vale1osnxs - tlbi_vaale1osnxs
0 9 2  - tlbi_rvae1isnxs - tlbi_rvaae1isnxs - tlbi_rvale1isnxs - tlbi_rvaale1isnxs
0 9 3  tlbi_vmalle1isnxs? tlbi_vae1isnxs tlbi_aside1isnxs tlbi_vaae1isnxs - tlbi_vale1isnxs - tlbi_vaale1isnxs
0 9 5  - tlbi_rvae1osnxs - tlbi_rvaae1osnxs - tlbi_rvale1osnxs - tlbi_rvaale1osnxs
0 9 6  - tlbi_rvae1nxs - tlbi_rvaae1nxs - tlbi_rvale1nxs - tlbi_rvaale1nxs
0 9 7  tlbi_vmalle1nxs. tlbi_vae1nxs tlbi_aside1nxs tlbi_vaae1nxs - tlbi_vale1nxs - tlbi_vaale1nxs
0 10 1  plbi_vmalle1os? plbi_perme1os plbi_aside1os plbi_permae1os
0 10 3  plbi_vmalle1is? plbi_perme1is plbi_aside1is plbi_permae1is
0 10 7  plbi_vmalle1. plbi_perme1 plbi_aside1 plbi_permae1
0 10 9  plbi_vmalle1osnxs? plbi_perme1osnxs plbi_aside1osnxs plbi_permae1osnxs
0 10 11  plbi_vmalle1isnxs? plbi_perme1isnxs plbi_aside1isnxs plbi_permae1isnxs
0 10 15  plbi_vmalle1nxs. plbi_perme1nxs plbi_aside1nxs plbi_permae1nxs
0 12 0  gsb_sys. gsb_ack.
0 12 1  gic_cddis gic_cden gic_cdpri gic_cdaff gic_cdpend gic_cdrcfg - gic_cdeoi.
0 12 2  gic_cddi gic_cdhm
1 7 2  - - - - brb_iall. brb_inj.
3 7 2  - - - - - - - trcit
3 7 3  - - - - cfp_rctx dvp_rctx cosp_rctx cpp_rctx
3 7 4  - dc_zva - dc_gva dc_gzva dc_zgbva - dc_gbva
3 7 5  - ic_ivau
3 7 7  gcspushm - gcsss1
3 7 10  - dc_cvac - dc_cgvac - dc_cgdvac
3 7 11  dc_cvaoc dc_cvau - - - - - dc_cgdvaoc
3 7 12  - dc_cvap - dc_cgvap - dc_cgdvap
3 7 13  - dc_cvadp - dc_cgvadp - dc_cgdvadp
3 7 14  - dc_civac - dc_cigvac - dc_cigdvac
3 7 15  dc_civaoc - - - - - - dc_cigdvaoc
4 7 0  - - - - mlbi_alle1. mlbi_vmalle1. mlbi_vpide1 mlbi_vpmge1
4 7 8  at_s1e2r at_s1e2w - - at_s12e1r at_s12e1w at_s12e0r at_s12e0w
4 7 9  - - at_s1e2a
4 7 14  dc_cipae - - - - - - dc_cigdpae
4 8 0  - tlbi_ipas2e1is tlbi_ripas2e1is - - tlbi_ipas2le1is tlbi_ripas2le1is
4 8 1  tlbi_alle2os? tlbi_vae2os - - tlbi_alle1os? tlbi_vale2os tlbi_vmalls12e1os?
4 8 2  - tlbi_rvae2is tlbi_vmallws2e1is? - - tlbi_rvale2is
4 8 3  tlbi_alle2is? tlbi_vae2is - - tlbi_alle1is? tlbi_vale2is tlbi_vmalls12e1is?
4 8 4  tlbi_ipas2e1os tlbi_ipas2e1 tlbi_ripas2e1 tlbi_ripas2e1os tlbi_ipas2le1os tlbi_ipas2le1 tlbi_ripas2le1 tlbi_ripas2le1os
4 8 5  - tlbi_rvae2os tlbi_vmallws2e1os? - - tlbi_rvale2os
4 8 6  - tlbi_rvae2 tlbi_vmallws2e1. - - tlbi_rvale2
4 8 7  tlbi_alle2. tlbi_vae2 - - tlbi_alle1. tlbi_vale2 tlbi_vmalls12e1.
4 9 0  - tlbi_ipas2e1isnxs tlbi_ripas2e1isnxs - - tlbi_ipas2le1isnxs tlbi_ripas2le1isnxs
4 9 1  tlbi_alle2osnxs? tlbi_vae2osnxs - - tlbi_alle1osnxs? tlbi_vale2osnxs tlbi_vmalls12e1osnxs?
4 9 2  - tlbi_rvae2isnxs tlbi_vmallws2e1isnxs? - - tlbi_rvale2isnxs
4 9 3  tlbi_alle2isnxs? tlbi_vae2isnxs - - tlbi_alle1isnxs? tlbi_vale2isnxs tlbi_vmalls12e1isnxs?
4 9 4  tlbi_ipas2e1osnxs tlbi_ipas2e1nxs tlbi_ripas2e1nxs tlbi_ripas2e1osnxs tlbi_ipas2le1osnxs tlbi_ipas2le1nxs tlbi_ripas2le1nxs tlbi_ripas2le1osnxs
4 9 5  - tlbi_rvae2osnxs tlbi_vmallws2e1osnxs? - - tlbi_rvale2osnxs
4 9 6  - tlbi_rvae2nxs tlbi_vmallws2e1nxs. - - tlbi_rvale2nxs
4 9 7  tlbi_alle2nxs. tlbi_vae2nxs - - tlbi_alle1nxs. tlbi_vale2nxs tlbi_vmalls12e1nxs.
4 10 1  plbi_alle2os? plbi_perme2os - - plbi_alle1os?
4 10 3  plbi_alle2is? plbi_perme2is - - plbi_alle1is?
4 10 7  plbi_alle2. plbi_perme2 - - plbi_alle1.
4 10 9  plbi_alle2osnxs? plbi_perme2osnxs - - plbi_alle1osnxs?
4 10 11  plbi_alle2isnxs? plbi_perme2isnxs - - plbi_alle1isnxs?
4 10 15  plbi_alle2nxs. plbi_perme2nxs - - plbi_alle1nxs.
4 12 1  gic_vddis gic_vden gic_vdpri gic_vdaff gic_vdpend gic_vdrcfg
4 12 2  gic_vddi gic_vdhm
6 7 0  apas
6 7 8  at_s1e3r at_s1e3w
6 7 9  - - at_s1e3a
6 7 14  - dc_cipapa - - - dc_cigdpapa
6 8 1  tlbi_alle3os? tlbi_vae3os - - tlbi_paallos. tlbi_vale3os
6 8 2  - tlbi_rvae3is - - - tlbi_rvale3is
6 8 3  tlbi_alle3is? tlbi_vae3is - - - tlbi_vale3is
6 8 4  - - - tlbi_rpaos - - - tlbi_rpalos
6 8 5  - tlbi_rvae3os - - - tlbi_rvale3os
6 8 6  - tlbi_rvae3 - - - tlbi_rvale3
6 8 7  tlbi_alle3. tlbi_vae3 - - tlbi_paall. tlbi_vale3
6 9 1  tlbi_alle3osnxs? tlbi_vae3osnxs - - tlbi_paallosnxs. tlbi_vale3osnxs
6 9 2  - tlbi_rvae3isnxs - - - tlbi_rvale3isnxs
6 9 3  tlbi_alle3isnxs? tlbi_vae3isnxs - - - tlbi_vale3isnxs
6 9 4  - - - tlbi_rpaosnxs - - - tlbi_rpalosnxs
6 9 5  - tlbi_rvae3osnxs - - - tlbi_rvale3osnxs
6 9 6  - tlbi_rvae3nxs - - - tlbi_rvale3nxs
6 9 7  tlbi_alle3nxs. tlbi_vae3nxs - - tlbi_paallnxs. tlbi_vale3nxs
6 10 1  plbi_alle3os. plbi_perme3os
6 10 3  plbi_alle3is. plbi_perme3is
6 10 7  plbi_alle3. plbi_perme3
6 10 9  plbi_alle3osnxs. plbi_perme3osnxs
6 10 11  plbi_alle3isnxs. plbi_perme3isnxs
6 10 15  plbi_alle3nxs. plbi_perme3nxs
6 12 1  gic_lddis gic_lden gic_ldpri gic_ldaff gic_ldpend gic_ldrcfg
6 12 2  gic_lddi gic_ldhm
`

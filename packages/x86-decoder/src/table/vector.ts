/**
 * MMX and legacy-encoded SSE to SSE4.2, SSE4A, AES, PCLMULQDQ, SHA, GFNI, Key Locker.
 *
 * Source: Intel SDM vol. 2D, Appendix A, "Two-byte Opcode Map", "Three-byte Opcode Map"; AMD APM vol. 4 for SSE4A.
 */
export const vectorRows: string = `
NP 0F 10          MOVUPS            Vdq,Wdq        SSE
66 0F 10          MOVUPD            Vdq,Wdq        SSE2 as=MOVUPS
F3 0F 10          MOVSS             Vdq,Wd         SSE
F2 0F 10          MOVSD             Vdq,Wq         SSE2
NP 0F 11          MOVUPS            Wdq,Vdq        SSE
66 0F 11          MOVUPD            Wdq,Vdq        SSE2 as=MOVUPS
F3 0F 11          MOVSS             Wd,Vdq         SSE
F2 0F 11          MOVSD             Wq,Vdq         SSE2
NP 0F 12          MOVHLPS           Vdq,Udq        SSE
NP 0F 12          MOVLPS            Vdq,Mq         SSE
66 0F 12          MOVLPD            Vdq,Mq         SSE2 as=MOVLPS
F3 0F 12          MOVSLDUP          Vdq,Wdq        SSE3
F2 0F 12          MOVDDUP           Vdq,Wq         SSE3
NP 0F 13          MOVLPS            Mq,Vdq         SSE
66 0F 13          MOVLPD            Mq,Vdq         SSE2 as=MOVLPS
NP 0F 14          UNPCKLPS          Vdq,Wdq        SSE as=PUNPCKLDQ
66 0F 14          UNPCKLPD          Vdq,Wdq        SSE2 as=PUNPCKLQDQ
NP 0F 15          UNPCKHPS          Vdq,Wdq        SSE as=PUNPCKHDQ
66 0F 15          UNPCKHPD          Vdq,Wdq        SSE2 as=PUNPCKHQDQ
NP 0F 16          MOVLHPS           Vdq,Udq        SSE
NP 0F 16          MOVHPS            Vdq,Mq         SSE
66 0F 16          MOVHPD            Vdq,Mq         SSE2 as=MOVHPS
F3 0F 16          MOVSHDUP          Vdq,Wdq        SSE3
NP 0F 17          MOVHPS            Mq,Vdq         SSE
66 0F 17          MOVHPD            Mq,Vdq         SSE2 as=MOVHPS
NP 0F 28          MOVAPS            Vdq,Wdq        SSE
66 0F 28          MOVAPD            Vdq,Wdq        SSE2 as=MOVAPS
NP 0F 29          MOVAPS            Wdq,Vdq        SSE
66 0F 29          MOVAPD            Wdq,Vdq        SSE2 as=MOVAPS
NP 0F 2A          CVTPI2PS          Vdq,Qq         SSE
66 0F 2A          CVTPI2PD          Vdq,Qq         SSE2
F3 0F 2A          CVTSI2SS          Vdq,Ey         SSE
F2 0F 2A          CVTSI2SD          Vdq,Ey         SSE2
NP 0F 2B          MOVNTPS           Mdq,Vdq        SSE as=MOVAPS
66 0F 2B          MOVNTPD           Mdq,Vdq        SSE2 as=MOVAPS
F3 0F 2B          MOVNTSS           Md,Vdq         SSE4A as=MOVSS
F2 0F 2B          MOVNTSD           Mq,Vdq         SSE4A as=MOVSD
NP 0F 2C          CVTTPS2PI         Pq,Wq          SSE
66 0F 2C          CVTTPD2PI         Pq,Wdq         SSE2
F3 0F 2C          CVTTSS2SI         Gy,Wd          SSE
F2 0F 2C          CVTTSD2SI         Gy,Wq          SSE2
NP 0F 2D          CVTPS2PI          Pq,Wq          SSE
66 0F 2D          CVTPD2PI          Pq,Wdq         SSE2
F3 0F 2D          CVTSS2SI          Gy,Wd          SSE
F2 0F 2D          CVTSD2SI          Gy,Wq          SSE2
NP 0F 2E          UCOMISS           Vdq,Wd         SSE
66 0F 2E          UCOMISD           Vdq,Wq         SSE2
NP 0F 2F          COMISS            Vdq,Wd         SSE
66 0F 2F          COMISD            Vdq,Wq         SSE2
NP 0F 50          MOVMSKPS          Gy,Udq         SSE
66 0F 50          MOVMSKPD          Gy,Udq         SSE2
NP 0F 51          SQRTPS            Vdq,Wdq        SSE
66 0F 51          SQRTPD            Vdq,Wdq        SSE2
F3 0F 51          SQRTSS            Vdq,Wd         SSE
F2 0F 51          SQRTSD            Vdq,Wq         SSE2
NP 0F 52          RSQRTPS           Vdq,Wdq        SSE
F3 0F 52          RSQRTSS           Vdq,Wd         SSE
NP 0F 53          RCPPS             Vdq,Wdq        SSE
F3 0F 53          RCPSS             Vdq,Wd         SSE
NP 0F 54          ANDPS             Vdq,Wdq        SSE as=PAND
66 0F 54          ANDPD             Vdq,Wdq        SSE2 as=PAND
NP 0F 55          ANDNPS            Vdq,Wdq        SSE as=PANDN
66 0F 55          ANDNPD            Vdq,Wdq        SSE2 as=PANDN
NP 0F 56          ORPS              Vdq,Wdq        SSE as=POR
66 0F 56          ORPD              Vdq,Wdq        SSE2 as=POR
NP 0F 57          XORPS             Vdq,Wdq        SSE as=PXOR
66 0F 57          XORPD             Vdq,Wdq        SSE2 as=PXOR
NP 0F 58          ADDPS             Vdq,Wdq        SSE
66 0F 58          ADDPD             Vdq,Wdq        SSE2
F3 0F 58          ADDSS             Vdq,Wd         SSE
F2 0F 58          ADDSD             Vdq,Wq         SSE2
NP 0F 59          MULPS             Vdq,Wdq        SSE
66 0F 59          MULPD             Vdq,Wdq        SSE2
F3 0F 59          MULSS             Vdq,Wd         SSE
F2 0F 59          MULSD             Vdq,Wq         SSE2
NP 0F 5A          CVTPS2PD          Vdq,Wq         SSE2
66 0F 5A          CVTPD2PS          Vdq,Wdq        SSE2
F3 0F 5A          CVTSS2SD          Vdq,Wd         SSE2
F2 0F 5A          CVTSD2SS          Vdq,Wq         SSE2
NP 0F 5B          CVTDQ2PS          Vdq,Wdq        SSE2
66 0F 5B          CVTPS2DQ          Vdq,Wdq        SSE2
F3 0F 5B          CVTTPS2DQ         Vdq,Wdq        SSE2
NP 0F 5C          SUBPS             Vdq,Wdq        SSE
66 0F 5C          SUBPD             Vdq,Wdq        SSE2
F3 0F 5C          SUBSS             Vdq,Wd         SSE
F2 0F 5C          SUBSD             Vdq,Wq         SSE2
NP 0F 5D          MINPS             Vdq,Wdq        SSE
66 0F 5D          MINPD             Vdq,Wdq        SSE2
F3 0F 5D          MINSS             Vdq,Wd         SSE
F2 0F 5D          MINSD             Vdq,Wq         SSE2
NP 0F 5E          DIVPS             Vdq,Wdq        SSE
66 0F 5E          DIVPD             Vdq,Wdq        SSE2
F3 0F 5E          DIVSS             Vdq,Wd         SSE
F2 0F 5E          DIVSD             Vdq,Wq         SSE2
NP 0F 5F          MAXPS             Vdq,Wdq        SSE
66 0F 5F          MAXPD             Vdq,Wdq        SSE2
F3 0F 5F          MAXSS             Vdq,Wd         SSE
F2 0F 5F          MAXSD             Vdq,Wq         SSE2
NP 0F 60          PUNPCKLBW         Pq,Qd          MMX
66 0F 60          PUNPCKLBW         Vdq,Wdq        SSE2
NP 0F 61          PUNPCKLWD         Pq,Qd          MMX
66 0F 61          PUNPCKLWD         Vdq,Wdq        SSE2
NP 0F 62          PUNPCKLDQ         Pq,Qd          MMX
66 0F 62          PUNPCKLDQ         Vdq,Wdq        SSE2
NP 0F 63          PACKSSWB          Pq,Qq          MMX
66 0F 63          PACKSSWB          Vdq,Wdq        SSE2
NP 0F 64          PCMPGTB           Pq,Qq          MMX
66 0F 64          PCMPGTB           Vdq,Wdq        SSE2
NP 0F 65          PCMPGTW           Pq,Qq          MMX
66 0F 65          PCMPGTW           Vdq,Wdq        SSE2
NP 0F 66          PCMPGTD           Pq,Qq          MMX
66 0F 66          PCMPGTD           Vdq,Wdq        SSE2
NP 0F 67          PACKUSWB          Pq,Qq          MMX
66 0F 67          PACKUSWB          Vdq,Wdq        SSE2
NP 0F 68          PUNPCKHBW         Pq,Qq          MMX
66 0F 68          PUNPCKHBW         Vdq,Wdq        SSE2
NP 0F 69          PUNPCKHWD         Pq,Qq          MMX
66 0F 69          PUNPCKHWD         Vdq,Wdq        SSE2
NP 0F 6A          PUNPCKHDQ         Pq,Qq          MMX
66 0F 6A          PUNPCKHDQ         Vdq,Wdq        SSE2
NP 0F 6B          PACKSSDW          Pq,Qq          MMX
66 0F 6B          PACKSSDW          Vdq,Wdq        SSE2
66 0F 6C          PUNPCKLQDQ        Vdq,Wdq        SSE2
66 0F 6D          PUNPCKHQDQ        Vdq,Wdq        SSE2
NP 0F 6E          MOVD/MOVQ         Pq,Ey          MMX
66 0F 6E          MOVD/MOVQ         Vdq,Ey         SSE2
NP 0F 6F          MOVQ              Pq,Qq          MMX
66 0F 6F          MOVDQA            Vdq,Wdq        SSE2 as=MOVAPS
F3 0F 6F          MOVDQU            Vdq,Wdq        SSE2 as=MOVUPS
NP 0F 70          PSHUFW            Pq,Qq,Ib       SSE
66 0F 70          PSHUFD            Vdq,Wdq,Ib     SSE2
F3 0F 70          PSHUFHW           Vdq,Wdq,Ib     SSE2
F2 0F 70          PSHUFLW           Vdq,Wdq,Ib     SSE2
NP 0F 71 /2       PSRLW             Nq,Ib          MMX
66 0F 71 /2       PSRLW             Udq,Ib         SSE2
NP 0F 71 /4       PSRAW             Nq,Ib          MMX
66 0F 71 /4       PSRAW             Udq,Ib         SSE2
NP 0F 71 /6       PSLLW             Nq,Ib          MMX
66 0F 71 /6       PSLLW             Udq,Ib         SSE2
NP 0F 72 /2       PSRLD             Nq,Ib          MMX
66 0F 72 /2       PSRLD             Udq,Ib         SSE2
NP 0F 72 /4       PSRAD             Nq,Ib          MMX
66 0F 72 /4       PSRAD             Udq,Ib         SSE2
NP 0F 72 /6       PSLLD             Nq,Ib          MMX
66 0F 72 /6       PSLLD             Udq,Ib         SSE2
NP 0F 73 /2       PSRLQ             Nq,Ib          MMX
66 0F 73 /2       PSRLQ             Udq,Ib         SSE2
NP 0F 73 /6       PSLLQ             Nq,Ib          MMX
66 0F 73 /6       PSLLQ             Udq,Ib         SSE2
66 0F 73 /3       PSRLDQ            Udq,Ib         SSE2
66 0F 73 /7       PSLLDQ            Udq,Ib         SSE2
NP 0F 74          PCMPEQB           Pq,Qq          MMX
66 0F 74          PCMPEQB           Vdq,Wdq        SSE2
NP 0F 75          PCMPEQW           Pq,Qq          MMX
66 0F 75          PCMPEQW           Vdq,Wdq        SSE2
NP 0F 76          PCMPEQD           Pq,Qq          MMX
66 0F 76          PCMPEQD           Vdq,Wdq        SSE2
NP 0F 77          EMMS              -              MMX
66 0F 78 /0       EXTRQ             Udq,Ib,Ib      SSE4A
F2 0F 78          INSERTQ           Vdq,Udq,Ib,Ib  SSE4A
66 0F 79          EXTRQ             Vdq,Udq        SSE4A
F2 0F 79          INSERTQ           Vdq,Udq        SSE4A
66 0F 7C          HADDPD            Vdq,Wdq        SSE3
F2 0F 7C          HADDPS            Vdq,Wdq        SSE3
66 0F 7D          HSUBPD            Vdq,Wdq        SSE3
F2 0F 7D          HSUBPS            Vdq,Wdq        SSE3
NP 0F 7E          MOVD/MOVQ         Ey,Pq          MMX
66 0F 7E          MOVD/MOVQ         Ey,Vdq         SSE2
F3 0F 7E          MOVQ              Vdq,Wq         SSE2
NP 0F 7F          MOVQ              Qq,Pq          MMX
66 0F 7F          MOVDQA            Wdq,Vdq        SSE2 as=MOVAPS
F3 0F 7F          MOVDQU            Wdq,Vdq        SSE2 as=MOVUPS
NP 0F C2          CMPPS             Vdq,Wdq,Ib     SSE
66 0F C2          CMPPD             Vdq,Wdq,Ib     SSE2
F3 0F C2          CMPSS             Vdq,Wd,Ib      SSE
F2 0F C2          CMPSD             Vdq,Wq,Ib      SSE2
NP 0F C4          PINSRW            Pq,Ry/Mw,Ib    SSE
66 0F C4          PINSRW            Vdq,Ry/Mw,Ib   SSE2
NP 0F C5          PEXTRW            Gy,Nq,Ib       SSE
66 0F C5          PEXTRW            Gy,Udq,Ib      SSE2
NP 0F C6          SHUFPS            Vdq,Wdq,Ib     SSE
66 0F C6          SHUFPD            Vdq,Wdq,Ib     SSE2
66 0F D0          ADDSUBPD          Vdq,Wdq        SSE3
F2 0F D0          ADDSUBPS          Vdq,Wdq        SSE3
NP 0F D1          PSRLW             Pq,Qq          MMX
66 0F D1          PSRLW             Vdq,Wdq        SSE2
NP 0F D2          PSRLD             Pq,Qq          MMX
66 0F D2          PSRLD             Vdq,Wdq        SSE2
NP 0F D3          PSRLQ             Pq,Qq          MMX
66 0F D3          PSRLQ             Vdq,Wdq        SSE2
NP 0F D4          PADDQ             Pq,Qq          SSE2
66 0F D4          PADDQ             Vdq,Wdq        SSE2
NP 0F D5          PMULLW            Pq,Qq          MMX
66 0F D5          PMULLW            Vdq,Wdq        SSE2
66 0F D6          MOVQ              Wq,Vdq         SSE2
F3 0F D6          MOVQ2DQ           Vdq,Nq         SSE2 as=MOVQ
F2 0F D6          MOVDQ2Q           Pq,Udq         SSE2 as=MOVQ
NP 0F D7          PMOVMSKB          Gy,Nq          SSE
66 0F D7          PMOVMSKB          Gy,Udq         SSE2
NP 0F D8          PSUBUSB           Pq,Qq          MMX
66 0F D8          PSUBUSB           Vdq,Wdq        SSE2
NP 0F D9          PSUBUSW           Pq,Qq          MMX
66 0F D9          PSUBUSW           Vdq,Wdq        SSE2
NP 0F DA          PMINUB            Pq,Qq          SSE
66 0F DA          PMINUB            Vdq,Wdq        SSE2
NP 0F DB          PAND              Pq,Qq          MMX
66 0F DB          PAND              Vdq,Wdq        SSE2
NP 0F DC          PADDUSB           Pq,Qq          MMX
66 0F DC          PADDUSB           Vdq,Wdq        SSE2
NP 0F DD          PADDUSW           Pq,Qq          MMX
66 0F DD          PADDUSW           Vdq,Wdq        SSE2
NP 0F DE          PMAXUB            Pq,Qq          SSE
66 0F DE          PMAXUB            Vdq,Wdq        SSE2
NP 0F DF          PANDN             Pq,Qq          MMX
66 0F DF          PANDN             Vdq,Wdq        SSE2
NP 0F E0          PAVGB             Pq,Qq          SSE
66 0F E0          PAVGB             Vdq,Wdq        SSE2
NP 0F E1          PSRAW             Pq,Qq          MMX
66 0F E1          PSRAW             Vdq,Wdq        SSE2
NP 0F E2          PSRAD             Pq,Qq          MMX
66 0F E2          PSRAD             Vdq,Wdq        SSE2
NP 0F E3          PAVGW             Pq,Qq          SSE
66 0F E3          PAVGW             Vdq,Wdq        SSE2
NP 0F E4          PMULHUW           Pq,Qq          SSE
66 0F E4          PMULHUW           Vdq,Wdq        SSE2
NP 0F E5          PMULHW            Pq,Qq          MMX
66 0F E5          PMULHW            Vdq,Wdq        SSE2
66 0F E6          CVTTPD2DQ         Vdq,Wdq        SSE2
F3 0F E6          CVTDQ2PD          Vdq,Wq         SSE2
F2 0F E6          CVTPD2DQ          Vdq,Wdq        SSE2
NP 0F E7          MOVNTQ            Mq,Pq          SSE as=MOVQ
66 0F E7          MOVNTDQ           Mdq,Vdq        SSE2 as=MOVAPS
NP 0F E8          PSUBSB            Pq,Qq          MMX
66 0F E8          PSUBSB            Vdq,Wdq        SSE2
NP 0F E9          PSUBSW            Pq,Qq          MMX
66 0F E9          PSUBSW            Vdq,Wdq        SSE2
NP 0F EA          PMINSW            Pq,Qq          SSE
66 0F EA          PMINSW            Vdq,Wdq        SSE2
NP 0F EB          POR               Pq,Qq          MMX
66 0F EB          POR               Vdq,Wdq        SSE2
NP 0F EC          PADDSB            Pq,Qq          MMX
66 0F EC          PADDSB            Vdq,Wdq        SSE2
NP 0F ED          PADDSW            Pq,Qq          MMX
66 0F ED          PADDSW            Vdq,Wdq        SSE2
NP 0F EE          PMAXSW            Pq,Qq          SSE
66 0F EE          PMAXSW            Vdq,Wdq        SSE2
NP 0F EF          PXOR              Pq,Qq          MMX
66 0F EF          PXOR              Vdq,Wdq        SSE2
F2 0F F0          LDDQU             Vdq,Mdq        SSE3 as=MOVUPS
NP 0F F1          PSLLW             Pq,Qq          MMX
66 0F F1          PSLLW             Vdq,Wdq        SSE2
NP 0F F2          PSLLD             Pq,Qq          MMX
66 0F F2          PSLLD             Vdq,Wdq        SSE2
NP 0F F3          PSLLQ             Pq,Qq          MMX
66 0F F3          PSLLQ             Vdq,Wdq        SSE2
NP 0F F4          PMULUDQ           Pq,Qq          SSE2
66 0F F4          PMULUDQ           Vdq,Wdq        SSE2
NP 0F F5          PMADDWD           Pq,Qq          MMX
66 0F F5          PMADDWD           Vdq,Wdq        SSE2
NP 0F F6          PSADBW            Pq,Qq          SSE
66 0F F6          PSADBW            Vdq,Wdq        SSE2
NP 0F F7          MASKMOVQ          Pq,Nq          SSE maskmov
66 0F F7          MASKMOVDQU        Vdq,Udq        SSE2 maskmov
NP 0F F8          PSUBB             Pq,Qq          MMX
66 0F F8          PSUBB             Vdq,Wdq        SSE2
NP 0F F9          PSUBW             Pq,Qq          MMX
66 0F F9          PSUBW             Vdq,Wdq        SSE2
NP 0F FA          PSUBD             Pq,Qq          MMX
66 0F FA          PSUBD             Vdq,Wdq        SSE2
NP 0F FB          PSUBQ             Pq,Qq          SSE2
66 0F FB          PSUBQ             Vdq,Wdq        SSE2
NP 0F FC          PADDB             Pq,Qq          MMX
66 0F FC          PADDB             Vdq,Wdq        SSE2
NP 0F FD          PADDW             Pq,Qq          MMX
66 0F FD          PADDW             Vdq,Wdq        SSE2
NP 0F FE          PADDD             Pq,Qq          MMX
66 0F FE          PADDD             Vdq,Wdq        SSE2
NP 0F 38 00       PSHUFB            Pq,Qq          SSSE3
66 0F 38 00       PSHUFB            Vdq,Wdq        SSSE3
NP 0F 38 01       PHADDW            Pq,Qq          SSSE3
66 0F 38 01       PHADDW            Vdq,Wdq        SSSE3
NP 0F 38 02       PHADDD            Pq,Qq          SSSE3
66 0F 38 02       PHADDD            Vdq,Wdq        SSSE3
NP 0F 38 03       PHADDSW           Pq,Qq          SSSE3
66 0F 38 03       PHADDSW           Vdq,Wdq        SSSE3
NP 0F 38 04       PMADDUBSW         Pq,Qq          SSSE3
66 0F 38 04       PMADDUBSW         Vdq,Wdq        SSSE3
NP 0F 38 05       PHSUBW            Pq,Qq          SSSE3
66 0F 38 05       PHSUBW            Vdq,Wdq        SSSE3
NP 0F 38 06       PHSUBD            Pq,Qq          SSSE3
66 0F 38 06       PHSUBD            Vdq,Wdq        SSSE3
NP 0F 38 07       PHSUBSW           Pq,Qq          SSSE3
66 0F 38 07       PHSUBSW           Vdq,Wdq        SSSE3
NP 0F 38 08       PSIGNB            Pq,Qq          SSSE3
66 0F 38 08       PSIGNB            Vdq,Wdq        SSSE3
NP 0F 38 09       PSIGNW            Pq,Qq          SSSE3
66 0F 38 09       PSIGNW            Vdq,Wdq        SSSE3
NP 0F 38 0A       PSIGND            Pq,Qq          SSSE3
66 0F 38 0A       PSIGND            Vdq,Wdq        SSSE3
NP 0F 38 0B       PMULHRSW          Pq,Qq          SSSE3
66 0F 38 0B       PMULHRSW          Vdq,Wdq        SSSE3
NP 0F 38 1C       PABSB             Pq,Qq          SSSE3
66 0F 38 1C       PABSB             Vdq,Wdq        SSSE3
NP 0F 38 1D       PABSW             Pq,Qq          SSSE3
66 0F 38 1D       PABSW             Vdq,Wdq        SSSE3
NP 0F 38 1E       PABSD             Pq,Qq          SSSE3
66 0F 38 1E       PABSD             Vdq,Wdq        SSSE3
66 0F 38 10       PBLENDVB          Vdq,Wdq,XMM0   SSE4_1
66 0F 38 14       BLENDVPS          Vdq,Wdq,XMM0   SSE4_1
66 0F 38 15       BLENDVPD          Vdq,Wdq,XMM0   SSE4_1
66 0F 38 17       PTEST             Vdq,Wdq        SSE4_1
66 0F 38 20       PMOVSXBW          Vdq,Wq         SSE4_1
66 0F 38 21       PMOVSXBD          Vdq,Wd         SSE4_1
66 0F 38 22       PMOVSXBQ          Vdq,Ww         SSE4_1
66 0F 38 23       PMOVSXWD          Vdq,Wq         SSE4_1
66 0F 38 24       PMOVSXWQ          Vdq,Wd         SSE4_1
66 0F 38 25       PMOVSXDQ          Vdq,Wq         SSE4_1
66 0F 38 28       PMULDQ            Vdq,Wdq        SSE4_1
66 0F 38 29       PCMPEQQ           Vdq,Wdq        SSE4_1
66 0F 38 2A       MOVNTDQA          Vdq,Mdq        SSE4_1 as=MOVAPS
66 0F 38 2B       PACKUSDW          Vdq,Wdq        SSE4_1
66 0F 38 30       PMOVZXBW          Vdq,Wq         SSE4_1
66 0F 38 31       PMOVZXBD          Vdq,Wd         SSE4_1
66 0F 38 32       PMOVZXBQ          Vdq,Ww         SSE4_1
66 0F 38 33       PMOVZXWD          Vdq,Wq         SSE4_1
66 0F 38 34       PMOVZXWQ          Vdq,Wd         SSE4_1
66 0F 38 35       PMOVZXDQ          Vdq,Wq         SSE4_1
66 0F 38 37       PCMPGTQ           Vdq,Wdq        SSE4_2
66 0F 38 38       PMINSB            Vdq,Wdq        SSE4_1
66 0F 38 39       PMINSD            Vdq,Wdq        SSE4_1
66 0F 38 3A       PMINUW            Vdq,Wdq        SSE4_1
66 0F 38 3B       PMINUD            Vdq,Wdq        SSE4_1
66 0F 38 3C       PMAXSB            Vdq,Wdq        SSE4_1
66 0F 38 3D       PMAXSD            Vdq,Wdq        SSE4_1
66 0F 38 3E       PMAXUW            Vdq,Wdq        SSE4_1
66 0F 38 3F       PMAXUD            Vdq,Wdq        SSE4_1
66 0F 38 40       PMULLD            Vdq,Wdq        SSE4_1
66 0F 38 41       PHMINPOSUW        Vdq,Wdq        SSE4_1
NP 0F 38 C8       SHA1NEXTE         Vdq,Wdq        SHA
NP 0F 38 C9       SHA1MSG1          Vdq,Wdq        SHA
NP 0F 38 CA       SHA1MSG2          Vdq,Wdq        SHA
NP 0F 38 CB       SHA256RNDS2       Vdq,Wdq,XMM0   SHA
NP 0F 38 CC       SHA256MSG1        Vdq,Wdq        SHA
NP 0F 38 CD       SHA256MSG2        Vdq,Wdq        SHA
66 0F 38 CF       GF2P8MULB         Vdq,Wdq        GFNI
F3 0F 38 D8 /0    AESENCWIDE128KL   Mkl            AESKLE+WIDE_KL
F3 0F 38 D8 /1    AESDECWIDE128KL   Mkl            AESKLE+WIDE_KL
F3 0F 38 D8 /2    AESENCWIDE256KL   Moq            AESKLE+WIDE_KL
F3 0F 38 D8 /3    AESDECWIDE256KL   Moq            AESKLE+WIDE_KL
66 0F 38 DB       AESIMC            Vdq,Wdq        AES
66 0F 38 DC       AESENC            Vdq,Wdq        AES
F3 0F 38 DC       LOADIWKEY         Vdq,Udq        KL cpl0
F3 0F 38 DC       AESENC128KL       Vdq,Mkl        AESKLE
66 0F 38 DD       AESENCLAST        Vdq,Wdq        AES
F3 0F 38 DD       AESDEC128KL       Vdq,Mkl        AESKLE
66 0F 38 DE       AESDEC            Vdq,Wdq        AES
F3 0F 38 DE       AESENC256KL       Vdq,Moq        AESKLE
66 0F 38 DF       AESDECLAST        Vdq,Wdq        AES
F3 0F 38 DF       AESDEC256KL       Vdq,Moq        AESKLE
F3 0F 38 FA       ENCODEKEY128      Gd,Rd          AESKLE
F3 0F 38 FB       ENCODEKEY256      Gd,Rd          AESKLE
66 0F 3A 08       ROUNDPS           Vdq,Wdq,Ib     SSE4_1
66 0F 3A 09       ROUNDPD           Vdq,Wdq,Ib     SSE4_1
66 0F 3A 0A       ROUNDSS           Vdq,Wd,Ib      SSE4_1
66 0F 3A 0B       ROUNDSD           Vdq,Wq,Ib      SSE4_1
66 0F 3A 0C       BLENDPS           Vdq,Wdq,Ib     SSE4_1
66 0F 3A 0D       BLENDPD           Vdq,Wdq,Ib     SSE4_1
66 0F 3A 0E       PBLENDW           Vdq,Wdq,Ib     SSE4_1
NP 0F 3A 0F       PALIGNR           Pq,Qq,Ib       SSSE3
66 0F 3A 0F       PALIGNR           Vdq,Wdq,Ib     SSSE3
66 0F 3A 14       PEXTRB            Ry/Mb,Vdq,Ib   SSE4_1
66 0F 3A 15       PEXTRW            Ry/Mw,Vdq,Ib   SSE4_1
66 0F 3A 16       PEXTRD/PEXTRQ     Ey,Vdq,Ib      SSE4_1
66 0F 3A 17       EXTRACTPS         Ry/Md,Vdq,Ib   SSE4_1
66 0F 3A 20       PINSRB            Vdq,Ry/Mb,Ib   SSE4_1
66 0F 3A 21       INSERTPS          Vdq,Wd,Ib      SSE4_1
66 0F 3A 22       PINSRD/PINSRQ     Vdq,Ey,Ib      SSE4_1
66 0F 3A 40       DPPS              Vdq,Wdq,Ib     SSE4_1
66 0F 3A 41       DPPD              Vdq,Wdq,Ib     SSE4_1
66 0F 3A 42       MPSADBW           Vdq,Wdq,Ib     SSE4_1
66 0F 3A 44       PCLMULQDQ         Vdq,Wdq,Ib     PCLMULQDQ
66 0F 3A 60       PCMPESTRM         Vdq,Wdq,Ib     =y SSE4_2
66 0F 3A 61       PCMPESTRI         Vdq,Wdq,Ib     =y SSE4_2
66 0F 3A 62       PCMPISTRM         Vdq,Wdq,Ib     SSE4_2
66 0F 3A 63       PCMPISTRI         Vdq,Wdq,Ib     SSE4_2
NP 0F 3A CC       SHA1RNDS4         Vdq,Wdq,Ib     SHA
66 0F 3A CE       GF2P8AFFINEQB     Vdq,Wdq,Ib     GFNI
66 0F 3A CF       GF2P8AFFINEINVQB  Vdq,Wdq,Ib     GFNI
66 0F 3A DF       AESKEYGENASSIST   Vdq,Wdq,Ib     AES
F3 0F 3A F0 (C0)  HRESET            Ib             HRESET
`

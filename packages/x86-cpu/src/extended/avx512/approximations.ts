import { I32, I64, select, type FunctionBuilder } from '@retrap/wasm-emitter'
import { CLASS_FINITE, CLASS_INFINITY, CLASS_QNAN, CLASS_ZERO, DEFAULT_NAN } from '@retrap/soft-float'
import type { SemanticsTable } from '../../semantics/context.ts'
import { finished, slot, unpackTo, type Operation } from './float-rows.ts'
import { inFormats } from './floats.ts'

/**
 * VRCP14 and VRSQRT14: 16 bits of a fraction, from a straight line in each of 64 intervals of the significand.
 *
 * Source: Intel SDM vol. 2C, VRCP14PS, VRSQRT14PS, for what is no ordinary number. The lines are those that all significands
 * of a Xeon of the Cascade Lake generation lie on, exactly.
 */

/** Lines by intervals: the value at the beginning, in 2^-18, and how much it falls, in 2^-9 of the fraction's last bit. */
const lines = (text: string): readonly (readonly [start: number, slope: number])[] =>
  text.split(' ').map((line) => line.split('.').map((part) => Number.parseInt(part, 36)) as [number, number])

const RECIPROCALS = lines(
  '5m9e.s1 5g18.r5 5a04.qd 545c.pl 4ygm.ot 4sy6.o5 4nl2.nf 4ido.mt 4db8.m5 48e0.ll 43lc.kz 3yxg.kf 3ue0.jx ' +
    '3pyu.jf 3lnm.ix 3hg8.if 3dcu.hz 39cy.hj 35gs.h5 31nq.gp 2xy2.gb 2ubi.fx 2qs4.fl 2nbe.f7 2jxo.ev 2gmo.ej ' +
    '2dei.e9 2a8k.dx 275a.dn 244a.db 215o.d1 1y9a.cr 1vf8.cj 1sn2.c9 1px4.c1 1n8w.br 1kms.bj 1i2i.bb 1fk0.b3 ' +
    '1d3a.av 1aog.ap 18ay.ah 15z6.a9 13p2.a3 11gi.9x z96.9p x3g.9j uz4.9d sw6.97 qui.91 ou4.8v mv8.8r kx8.8l ' +
    'j0i.8f h54.8b fam.85 dhg.81 bpa.7x 9y2.7r 886.7n 6j6.7j 4v2.7f 37u.7b 1li.77',
)
/** Of numbers from 1 to 2, then of those from 2 to 4. */
const ROOTS = lines(
  '5m95.rt 5g2p.qj 5a6d.pf 54j6.od 4z4e.nd 4txj.mf 4oy5.lj 4k5t.kr 4fju.jz 4b41.j9 46tz.il 42pg.hz 3ypu.hd ' +
    '3uuy.gr 3r4v.g9 3niz.fr 3k13.f9 3gn7.et 3dcv.ed 3a60.dx 372l.dj 342b.d5 3154.ct 2yar.ch 2vj3.c5 2su3.bt ' +
    '2q7q.bj 2nni.b7 2l5r.ax 2iqe.ap 2gcv.af 2e1m.a7 2brp.jn 27eh.ir 238c.hz 1z8k.h7 1vf0.gj 1rqv.fv 1o81.f9 ' +
    '1ku1.en 1hkt.e5 1efv.dn 1bet.d5 18hp.cp 15o5.c9 12y2.bv 10b5.bh xrf.b5 vaf.at sw3.ah qkf.a5 obd.9v ' +
    'm4j.9l jzy.9b hxg.91 fx4.8t dyq.8l c25.8d a7b.85 8e6.7x 6mt.7r 4wt.7j 38g.7d 1li.77',
)

/** The line of an interval: start in the upper, slope in the lower half. */
function lineOf(f: FunctionBuilder, table: typeof RECIPROCALS, index: I32): I64 {
  const part = (from: number, count: number): I64 => {
    if (count === 1) return I64.of((BigInt(table[from]![0]) << 32n) | BigInt(table[from]![1]))
    const half = count / 2
    return f.ifElse(
      'i64',
      index.and(half),
      () => part(from + half, half),
      () => part(from, half),
    )
  }
  return f.let(part(0, table.length))
}

/** R = the fraction that the line has at `x`, 0 to 1023, with an exponent. */
function onLine(o: Operation, table: typeof RECIPROCALS, index: I32, x: I32, exponent: I32): void {
  const line = lineOf(o.f, table, index)
  const start = line.shrU(32n).toI32().shl(7)
  const fraction = start.sub(line.toI32().mul(x)).shrU(9)
  const significand = fraction
    .toI64U()
    .shl(47n)
    .or(-(2n ** 63n))
  slot(o, 'R').setFinite(slot(o, 0).sign, exponent, significand)
}

/** R of what is no finite number but zero. */
function special(o: Operation): void {
  const [a, r] = [slot(o, 0), slot(o, 'R')]
  const kind = a.class
  r.copy(a)
  r.significand = a.significand.or(DEFAULT_NAN)
  r.class = select(
    kind.eq(CLASS_ZERO),
    I32.of(CLASS_INFINITY),
    select(kind.eq(CLASS_INFINITY), I32.of(CLASS_ZERO), I32.of(CLASS_QNAN)),
  )
}

function reciprocal(o: Operation): I64 {
  const a = unpackTo(o, 0, o.values[0]!)
  o.f.if(
    a.class.eq(CLASS_FINITE),
    () => {
      const { significand, exponent, sign } = a
      const bits = o.f.let(significand.shrU(47n).toI32())
      const down = I32.of(0).sub(exponent)
      o.f.if(
        significand.shl(1n).eqz(),
        () => slot(o, 'R').setFinite(sign, down, significand),
        () => onLine(o, RECIPROCALS, bits.shrU(10), bits.and(1023), down.sub(1)),
      )
    },
    () => special(o),
  )
  return finished(o)
}

function reciprocalRoot(o: Operation): I64 {
  const a = unpackTo(o, 0, o.values[0]!)
  const { class: kind, sign } = a
  const isBad = sign.and(kind.eq(CLASS_FINITE).or(kind.eq(CLASS_INFINITY)))
  const finite = (): void => {
    const { significand, exponent } = a
    const bits = o.f.let(significand.shrU(48n).toI32())
    const odd = o.f.let(exponent.and(1))
    const down = o.f.let(I32.of(0).sub(exponent.shrS(1)))
    o.f.if(
      significand.shl(1n).eqz().and(odd.eqz()),
      () => slot(o, 'R').setFinite(sign, down, significand),
      () => onLine(o, ROOTS, odd.shl(5).or(bits.shrU(10).and(31)), bits.and(1023), down.sub(1)),
    )
  }
  o.f.if(
    isBad,
    () => slot(o, 'R').setDefaultNan(1),
    () => o.f.if(kind.eq(CLASS_FINITE), finite, () => special(o)),
  )
  return finished(o)
}

const GIVEN = { formats: 'PS PD SS SD', isSilent: true } as const

export const wideApproximations: SemanticsTable = {
  ...inFormats('VRCP14', 1, reciprocal, GIVEN),
  ...inFormats('VRSQRT14', 1, reciprocalRoot, GIVEN),
}

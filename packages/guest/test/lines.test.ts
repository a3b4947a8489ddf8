import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Answer, AnswerDecoder, decodeBase64, encodeBase64, encodeRequest, escapeArgument } from '../src/lines.ts'
import { answerLine } from './support/scripted-agent.ts'

const bytesOf = (text: string): Uint8Array => Buffer.from(text, 'latin1')

/** The answers in a text that arrives in pieces. */
function decoded(text: string, cuts: readonly number[] = []): Answer[] {
  const found: Answer[] = []
  const decoder = new AnswerDecoder((answer) => found.push(answer))
  const ends = [...cuts.map((cut) => cut % (text.length + 1)), text.length].sort((a, b) => a - b)
  ends.forEach((end, i) => decoder.push(bytesOf(text.slice(ends[i - 1] ?? 0, end))))
  return found
}

const word = fc.stringMatching(/^[!-~]{1,20}$/)
const answer = fc.record({
  session: fc.stringMatching(/^[\da-f]{16}$/),
  id: fc.nat(),
  words: fc.array(word, { minLength: 1, maxLength: 5 }),
})
/** Anything without the mark of an answer. */
const noise = fc.string({ unit: 'binary-ascii', maxLength: 200 }).map((text) => text.replaceAll('rt1<', 'rt1-'))

describe('answers', () => {
  test('arrive in whatever pieces and between whatever noise', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(noise, answer)),
        noise,
        fc.array(fc.nat(), { maxLength: 20 }),
        (parts, end, cuts) => {
          const text = parts.map(([before, { session, id, words }]) => before + answerLine(session, id, words)).join('')
          expect(decoded(text + end, cuts)).toEqual(parts.map(([, each]) => each))
        },
      ),
    )
  })

  test('behind other text in their line count, and CR LF ends a line', () => {
    const one = { session: 'a', id: 7, words: ['ok'] }
    expect(decoded('login: rt1< 6 a 7 ok\r\n')).toEqual([one])
    expect(decoded('rt1< 99 a rt1< 6 a 7 ok\n')).toEqual([one])
  })

  test('have bytes behind them, in whatever pieces, and none where the line behind those is not there', () => {
    const header = 'rt1< 9 a 7 raw 6\n'
    const one = { session: 'a', id: 7, words: ['raw', '6'], payload: bytesOf('\nrt1<\xff') }
    const text = `${header}\nrt1<\xffend 7\n`
    for (let cut = 0; cut < text.length; cut++)
      expect(decoded(text, [cut]).map((each) => ({ ...each, payload: Buffer.from(each.payload!) }))).toEqual([one])
    expect(decoded(`${header}one too many\nend 7\nrt1< 6 a 7 ok\n`)).toEqual([{ session: 'a', id: 7, words: ['ok'] }])
    // More than an agent sends is no answer with bytes.
    for (const length of ['524289', '-1', '1.5', 'x'])
      expect(decoded(`rt1< ${8 + length.length} a 7 raw ${length}\n`)).toMatchObject([{ words: ['raw', length] }])
  })

  test.each([
    ['a length that is too small', 'rt1< 5 a 7 ok\n'],
    ['a length that is too large', 'rt1< 7 a 7 ok\n'],
    ['a lost character', 'rt1< 6 a 7 k\n'],
    ['no length', 'rt1<  a 7 ok\n'],
    ['a length of many digits', 'rt1< 000006 a 7 ok\n'],
    ['no words', 'rt1< 3 a 7\n'],
    ['an id that is no number', 'rt1< 7 a -7 ok\n'],
    ['an id beyond what is exact', `rt1< 21 a ${'9'.repeat(16)} ok\n`],
    ['a control character', 'rt1< 7 a 7 o\x07k\n'],
    ['the mark of a request', 'rt1> 6 a 7 ok\n'],
    ['no end', 'rt1< 6 a 7 ok'],
    ['too much before it', `${'x'.repeat(40_000)}rt1< 6 a 7 ok\n`],
  ])('with %s are noise, and the next one counts', (_, text) => {
    expect(decoded(text)).toEqual([])
    expect(decoded(`${text}rt1< 6 b 8 ok\n`)).toEqual([{ session: 'b', id: 8, words: ['ok'] }])
  })

  test('no bytes make the decoder throw', () => {
    const mark = fc.constantFrom('rt1< ', '\n', ' ', '1', '12', 'rt1< 6 a 7 ok\n', 'x'.repeat(50_000))
    const part = fc.oneof(
      mark,
      fc.string({ unit: 'binary-ascii' }),
      fc.uint8Array().map((bytes) => Buffer.from(bytes).toString('latin1')),
    )
    fc.assert(
      fc.property(fc.array(part, { maxLength: 30 }), (parts) => {
        for (const { session, id, words } of decoded(parts.join(''))) {
          expect(Number.isSafeInteger(id)).toBe(true)
          expect(answerLine(session, id, words).length).toBeLessThan(40_020)
        }
      }),
    )
  })

  test('as long as the longest part of an output are found', () => {
    const words = ['ok', 'A'.repeat(32_000)]
    expect(decoded(answerLine('0123456789abcdef', 999_999, words))).toEqual([
      { session: '0123456789abcdef', id: 999_999, words },
    ])
  })
})

describe('requests', () => {
  test('are lines of ASCII, behind an empty one', () => {
    expect(Buffer.from(encodeRequest('s', 3, ['put', 'in', 'begin'], bytesOf('hello'))).toString()).toBe(
      '\nrt1> 18 s 3 put in begin 8\naGVsbG8=\n',
    )
  })

  test('arguments have no blanks, and printf returns what they stand for', () => {
    expect(escapeArgument(Buffer.from("a b\\\t'é"))).toBe("a\\0040b\\0134\\0011'\\0303\\0251")
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (text) => {
        const escaped = escapeArgument(Buffer.from(text))
        expect(escaped).toMatch(/^[!-~]*$/)
        const bytes = escaped.replace(/\\0(\d{3})/g, (_, octal: string) => String.fromCharCode(parseInt(octal, 8)))
        expect(Buffer.from(bytes, 'latin1').toString()).toBe(text)
      }),
    )
  })
})

describe('base64 (RFC 4648, §4)', () => {
  test('is that of Node, both ways', () => {
    fc.assert(
      fc.property(fc.uint8Array(), (bytes) => {
        const text = Buffer.from(bytes).toString('base64')
        expect(encodeBase64(bytes)).toBe(text)
        expect(decodeBase64(text)).toEqual(bytes)
      }),
    )
  })

  test('of other texts is null', () => {
    for (const text of ['A', 'AA', 'AAA', '====', 'A===', 'AA=A', 'AAé=', 'AA A', 'AB==', 'AAB=', 'AA==AAAA'])
      expect(decodeBase64(text), text).toBeNull()
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom('A', 'B', '/', '=', '-', '\u0141', ' ') }), (text) => {
        const bytes = decodeBase64(text)
        if (bytes !== null) expect(encodeBase64(bytes)).toBe(text)
      }),
    )
  })
})

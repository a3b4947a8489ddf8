import { OwnTime } from '@retrap/tooling/processor-time'
import { describe, expect, test } from 'vitest'
import { Keyboard, type KeyboardLayoutName, type KeyName } from '../../src/index.ts'
import { TestKeyboard } from '../support/test-keyboard.ts'

describe('layouts', () => {
  test.each<{ layout: KeyboardLayoutName; text: string; keys: string }>([
    { layout: 'us', text: 'aZ\n', keys: '+4 -4 +e1 +1d -1d -e1 +28 -28' },
    { layout: 'us', text: '@|', keys: '+e1 +1f -1f -e1 +e1 +31 -31 -e1' },
    {
      layout: 'gb',
      text: '@"£€#\\',
      keys: '+e1 +34 -34 -e1 +e1 +1f -1f -e1 +e1 +20 -20 -e1 +e6 +21 -21 -e6 +31 -31 +64 -64',
    },
    { layout: 'de', text: 'yz<', keys: '+1d -1d +1c -1c +64 -64' },
    { layout: 'de', text: '@{\\~', keys: '+e6 +14 -14 -e6 +e6 +24 -24 -e6 +e6 +2d -2d -e6 +e6 +30 -30 -e6' },
    { layout: 'de', text: '^é`', keys: '+35 -35 +2c -2c +2e -2e +8 -8 +e1 +2e -2e -e1 +2c -2c' },
    { layout: 'fr', text: 'aqm1é', keys: '+14 -14 +4 -4 +33 -33 +e1 +1e -1e -e1 +1f -1f' },
    { layout: 'fr', text: 'êÏ^', keys: '+2f -2f +8 -8 +e1 +2f -2f -e1 +e1 +c -c -e1 +e6 +26 -26 -e6' },
  ])('$layout: $text', async ({ layout, text, keys }) => {
    const model = new TestKeyboard(layout)
    await model.keyboard.type(text)
    expect(model.noted.trim()).toBe(keys)
  })

  test.each<KeyboardLayoutName>(['us', 'gb', 'de', 'fr'])('%s has all of ASCII that can be printed', async (layout) => {
    const model = new TestKeyboard(layout)
    const ascii = String.fromCharCode(...Array.from({ length: 95 }, (_, i) => 0x20 + i))
    expect(await model.keyboard.type(ascii)).toBe(true)
    for (const character of ascii) expect(model.keyboard.layout.usageOf(character), character).toBeDefined()
  })

  test('one text may be typed as another layout has it', async () => {
    const model = new TestKeyboard('us')
    await model.keyboard.type('y', { layout: 'de' })
    await model.keyboard.type('y')
    expect(model.noted.trim()).toBe('+1d -1d +1c -1c')
    await expect(model.keyboard.type('y', { layout: 'xx' as 'us' })).rejects.toThrow("keyboard layout 'xx'")
  })

  test('a character that is not there is refused, and nothing is typed', async () => {
    const model = new TestKeyboard('us')
    await expect(model.keyboard.type('aß')).rejects.toThrow("type: 'ß' is not on a keyboard of layout us")
    expect(model.noted).toBe('')
    expect(() => new Keyboard({ layout: 'xx' as 'us' })).toThrow("keyboard layout 'xx': expected one of us, gb, de, fr")
  })
})

describe('keys', () => {
  test('pressed together go up in the opposite order', async () => {
    const model = new TestKeyboard()
    await model.keyboard.press('ControlLeft', 'AltLeft', 'Delete')
    expect(model.noted).toBe('+e0 +e2 +4c -4c -e2 -e0 ')
  })

  test('are held until they are released', async () => {
    const model = new TestKeyboard()
    await model.keyboard.down('ArrowUp')
    expect(model.noted).toBe('+52 ')
    await model.keyboard.up('ArrowUp')
    expect(model.noted).toBe('+52 -52 ')
  })

  // USB HID Usage Tables, "Keyboard/Keypad Page".
  test.each<[KeyName, number]>([
    ['KeyZ', 0x1d],
    ['Digit0', 0x27],
    ['Backslash', 0x31],
    ['CapsLock', 0x39],
    ['F12', 0x45],
    ['Pause', 0x48],
    ['NumLock', 0x53],
    ['NumpadEnter', 0x58],
    ['NumpadDecimal', 0x63],
    ['F24', 0x73],
    ['NonConvert', 0x8b],
    ['MetaRight', 0xe7],
  ])('%s is usage %i', async (key, usage) => {
    const model = new TestKeyboard()
    await model.keyboard.down(key)
    expect(model.noted).toBe(`+${usage.toString(16)} `)
  })

  test('a name that no key has is refused', () => {
    const { keyboard } = new TestKeyboard()
    expect(() => keyboard.press('Enter', 'ENTER' as KeyName)).toThrow(
      "key 'ENTER': expected a name as in KeyboardEvent",
    )
  })
})

describe('keys that the guest does not take', () => {
  test('wait, and their promise too', async () => {
    const model = new TestKeyboard()
    model.room = 3
    let taken: boolean | undefined
    const typed = model.keyboard.type('abc').then((all) => (taken = all))
    await Promise.resolve()
    expect([model.noted, model.keyboard.waiting, taken]).toEqual(['+4 -4 +5 ', 3, undefined])
    model.room = Infinity
    model.keyboard.ready()
    await typed
    expect([model.noted, model.keyboard.waiting, taken]).toEqual(['+4 -4 +5 -5 +6 -6 ', 0, true])
  })

  test('are dropped on demand', async () => {
    const model = new TestKeyboard()
    model.room = 0
    const typed = model.keyboard.type('abc')
    await Promise.resolve()
    model.keyboard.clear()
    expect(await typed).toBe(false)
    model.room = Infinity
    model.keyboard.ready()
    expect(model.noted).toBe('')
  })

  test('go to the keyboard of the machine that comes next', async () => {
    const model = new TestKeyboard()
    model.room = 1
    void model.keyboard.press('KeyA')
    const next = new TestKeyboard()
    model.keyboard.connect(next)
    expect([model.noted, next.noted]).toEqual(['+4 ', '-4 '])
  })

  test('a long text takes no longer per character than a short one', async () => {
    const model = new TestKeyboard()
    model.room = 0
    const typed = model.keyboard.type('x'.repeat(50_000))
    await Promise.resolve()
    const time = new OwnTime()
    while (model.keyboard.waiting > 0) {
      model.room = 3
      model.keyboard.ready()
    }
    expect(await typed).toBe(true)
    expect(time.milliseconds()).toBeLessThan(5000)
  })
})

test('characters can be typed one by one, with time between them', async () => {
  const model = new TestKeyboard()
  const start = performance.now()
  expect(await model.keyboard.type('abc', { delayMs: 20 })).toBe(true)
  expect(performance.now() - start).toBeGreaterThan(55)
  expect(model.noted).toBe('+4 -4 +5 -5 +6 -6 ')
})

test('the lamps are the guest’s', () => {
  const { keyboard } = new TestKeyboard()
  keyboard.setLeds({ numLock: true, capsLock: false, scrollLock: false })
  expect(keyboard.leds).toEqual({ numLock: true, capsLock: false, scrollLock: false })
})

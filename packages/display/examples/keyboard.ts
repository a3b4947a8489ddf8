import { Keyboard } from '@retrap/display'

// Stands for the guest's keyboard, which is given keys as usages of the HID Keyboard/Keypad page.
const keyboard = new Keyboard({ layout: 'de' })
keyboard.connect({
  input(events) {
    for (const event of events) if (event.kind === 'key' && event.down) console.log(event.usage.toString(16))
    return events.length
  },
})
await keyboard.type('z@')
await keyboard.press('ControlLeft', 'KeyC')

// Output:
// 1c
// e6
// 14
// e0
// 6

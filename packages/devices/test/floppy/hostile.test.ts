import { test } from 'vitest'
import { holds } from '../support/holds.ts'
import { hostileFloppy, sameFloppy } from '../support/random-floppy.ts'

test('whatever a guest does to the floppy controller: commands end, no byte is moved while it is stopped', () =>
  holds(25, (choose) => hostileFloppy(choose, 60)))

test('a controller that was saved and restored elsewhere goes on as the first one does', () =>
  holds(25, (choose) => sameFloppy(choose, 20)))

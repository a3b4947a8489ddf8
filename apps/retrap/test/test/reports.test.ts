/** Reports of tests, with names and messages that a guest could have chosen. */
import { expect, test } from 'vitest'
import { junit, outcomeLine, tapBegin, tapLines } from '../../src/commands/test/reports.ts'

const passed = { name: 'a "b" <c> & #d \\', ms: 1234.5 }
const failed = { name: 'e\x1bf', ms: 20, failure: "expected '<\x00>'\nThe guest has printed:\n\tx\ufffe" }

test('lines for people have no control characters', () => {
  expect(outcomeLine(passed)).toBe('ok     a "b" <c> & #d \\ (1.2 s)')
  expect(outcomeLine(failed)).toBe('FAILED e\\x1bf (0.0 s)')
})

test('TAP 14: names are escaped, and what is known of a test is a block of YAML', () => {
  expect([...tapBegin(2), ...tapLines(passed, 1), ...tapLines(failed, 2)]).toEqual([
    'TAP version 14',
    '1..2',
    'ok 1 - a "b" <c> & \\#d \\\\',
    '  ---',
    '  duration_ms: 1235',
    '  ...',
    'not ok 2 - e\\\\x1bf',
    '  ---',
    '  duration_ms: 20',
    '  message: |',
    "    expected '<\\x00>'",
    '    The guest has printed:',
    '    \tx\\ufffe',
    '  ...',
  ])
})

test('JUnit: counts, times, and text that XML can hold', () => {
  expect(junit(new Map([['tests.json', [passed, failed]]]))).toBe(`<?xml version="1.0" encoding="UTF-8"?>
<testsuites tests="2" failures="1" errors="0" time="1.254">
  <testsuite name="tests.json" tests="2" failures="1" errors="0" time="1.254">
    <testcase classname="tests.json" name="a &quot;b&quot; &lt;c&gt; &amp; #d \\" time="1.234"/>
    <testcase classname="tests.json" name="e\\x1bf" time="0.020">
      <failure message="expected '&lt;\\x00&gt;'">expected '&lt;\\x00&gt;'
The guest has printed:
\tx\\ufffe</failure>
    </testcase>
  </testsuite>
</testsuites>
`)
})

import shared from '@retrap/tooling/vitest'

// Its report is not this package's.
export default {
  ...shared,
  test: {
    ...shared.test,
    include: ['test/support/failing/failing.ts'],
    reporters: ['default'],
    attachmentsDir: 'temp/attachments',
  },
}

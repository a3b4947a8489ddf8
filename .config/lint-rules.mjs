/** Rules of oxlint for this repository: `.oxlintrc.json` loads them. */

/** Refuses `{ ...{ a, b } }`, which packs fields on a line: they are written out. A spread with a condition has no object literal. */
const writtenOutFields = {
  create: (context) => ({
    SpreadElement(node) {
      if (node.parent.type === 'ObjectExpression' && node.argument.type === 'ObjectExpression')
        context.report({ node, message: 'Fields are packed into a spread: write each on a line of its own.' })
    },
  }),
}

export default { meta: { name: 'house' }, rules: { 'written-out-fields': writtenOutFields } }

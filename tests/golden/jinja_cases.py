"""Templates for the Jinja interpreter, by hand: one expression or statement after another, whatever the language has.

Kept to what a template can see of Python without addresses of objects; make_jinja_vectors.py renders them with jinja2.
"""

# Expressions, "; " between them, each rendered as "[{{ ... }}]" over VARS.
EXPRESSIONS = r"""
s|upper; s|lower; s|title; s|capitalize; s|trim; ws|trim; s|length; emoji|length; emoji[1]; emoji[::-1]; s[1:4]
s[-3:]; s[::2]; s[10:2:-2]; l[0]; l[-1]; l[5]; l[::-1]; l[1:]; l[:-1]
uni|upper; uni|lower; uni|title; uni.title(); uni|capitalize; uni.swapcase(); uni.casefold()
1+2; 1-2; 2*3; 7/2; 7//2; -7//2; 7%3; -7%3; 7%-3; 2**10; 2**-1; 2.5*2; 7.5//2; -7.5%2; 1/3; 1e100; 1e16; 1e15
123456789.123; 0.1+0.2; 1e-5; 0.0001; 5.0; -0.0; 1.0/3*3; 10**18
1 == 1.0; 1 < 2 < 3; 1 < 2 > 3; 'a' in s; 'H' in s; 3 in l; 3 not in l; 'b' in d; not t; t and n; fl or s; e or 'x'
none or 0; t + 1; t == 1; 'a' < 'b'; [1,2] < [1,3]; (1,2) == (1,2); [1] == (1,); d == d; none == none; undefd == none
undefd == undefd2
s ~ n ~ none ~ t; s + 'x'; 'a' * 3; 3 * 'a'; [1] * 2; [1] + [2]; (1,) + (2,); [1] + (2,); s + 1; -n; +n; -t; -s
not undefd; - 2 ** 2; 2 ** 3 ** 2; -2|abs; 1 if t; 1 if fl; 1 if fl else 2; (1 if fl).x
d.b; d['b']; d.items(); d.keys(); d.values(); d['items']; d.get('b'); d.get('zz'); d.get('zz', 9); d.zz; d.zz.y
none.x; n.x; s.x; l.x; undefd; undefd.x; undefd[0]; undefd(); d.update; d.update(); l.append; l.append(1); d.copy()
d.__class__; s.__class__; ''.__class__.__mro__
l|sort; l|sort(reverse=true); users|sort(attribute='name')|map(attribute='name')|list
users|sort(attribute='age,name')|map(attribute='name')|list; users|map(attribute='x.y')|list
users|map(attribute='x.y', default='?')|list; l|map('string')|list; l|map('upper')|join('-'); l|select('odd')|list
l|reject('odd')|list; l|select('gt', 1)|list; l|select('>', 1)|list
users|selectattr('age','equalto',3)|map(attribute='name')|list; users|rejectattr('age','eq',3)|list|length
users|selectattr('x.y')|list|length; l|select|list
l|first; l|last; []|first; []|last; l|min; l|max; []|max; l|sum; users|sum(attribute='age'); users|sum('age', 1.5)
l|join; l|join(','); users|join(',', attribute='name'); l|reverse|list; s|reverse; l|unique|list
['a','A','b']|unique|list; ['a','A','b']|unique(true)|list; l|batch(2)|list; l|batch(2,'x')|list; l|slice(2)|list
l|slice(2,'x')|list; users|groupby('age')|list; users|groupby('name')|map('first')|list; d|dictsort; d|items|list
d|list; d|length; s|list; s|count
s|replace('l','L'); s|replace('l','L',1); 12|replace(1,3); s|wordcount; s|indent; 'a\nb\n\nc'|indent(2)
'a\nb\n\nc'|indent(2,true); 'a\nb\n\nc'|indent('>',true,true); s|truncate(5); 'foo bar baz qux'|truncate(9)
'foo bar baz qux'|truncate(9,true); s|center(20); s|format; '%s-%d'|format('a',3); '%(x)s'|format(x=1); s|e
'<a href="x">'|e; '<'|safe + '>'; '<'|safe ~ '>'; ('<'|e)|e; '<'|forceescape
'42'|int; '42.9'|int; 'x'|int; 'x'|int(7); '0x1f'|int(0,16); ' 12 '|int; '1_000'|int; 3.99|int; -3.99|int; none|int
t|int; undefd|int; '3.5'|float; 'x'|float; 'x'|float(1.5); '1e3'|int; 'inf'|float; 'nan'|float; 'inf'|int; 2.5|round
3.5|round; 42.55|round(1); 2.675|round(2); 1234|round(-2); 1250|round(-2); 1350|round(-2); 42.1|round(0,'ceil')
42.17|round(1,'floor'); n|round; 1234.5|round(-2); -2.5|round; 0.5|round; n|abs; neg|abs; (-2.5)|abs; s|abs
d|tojson; d|tojson(indent=2); msgs|tojson; msgs|tojson(indent=4); l|tojson(separators=(',',':'))
d|tojson(sort_keys=true); uni|tojson; uni|tojson(ensure_ascii=true); '\x00\x1f\x7f\u2028"\\/'|tojson
'\x7f'|tojson(true); none|tojson; t|tojson; 1.0|tojson; 1e100|tojson; {1:2,none:3,true:4,1.5:5}|tojson; (1,2)|tojson
undefd|tojson; []|tojson(indent=2); {}|tojson(indent=2); {'a':[]}|tojson(indent=2); [1,[2]]|tojson(indent=0)
[1]|tojson(indent='\t'); d.items()|tojson; emoji|tojson(ensure_ascii=true)
undefd is defined; s is defined; undefd is undefined; none is none; s is string; n is number; t is number
n is integer; t is integer; f is float; t is boolean; d is mapping; l is sequence; s is sequence; d is sequence
n is sequence; l is iterable; n is iterable; undefd is iterable; undefd is sequence; n is odd; n is even
n is divisibleby 5; n is divisibleby(3); t is true; t is false; s is upper; 'ABC' is upper; 'abc1' is lower
none is sameas none; t is sameas true; 1 is sameas true; n is eq 5; n is ne 5; n is lt 6; n is le 5; n is gt 5
n is ge 5; n is equalto 5; n is greaterthan 4; n is lessthan 4; 3 is in l; 'upper' is filter; 'nope' is filter
'odd' is test; range is callable; s.upper is callable; s is callable; s is escaped; (s|safe) is escaped
s is not defined; not s is defined; s is not string; n is not none and t; l is string or t
s.upper(); s.split(', '); s.split(); ' a  b '.split(); 'a,b,c'.split(',',1); 'a,b,c'.rsplit(',',1)
' a b  c '.split(none,1); ' a b  c '.rsplit(none,1); 'a b c'.split(maxsplit=1); s.startswith('He')
s.endswith(('x','ld')); s.startswith(('He','x')); s.startswith('e',1); s.strip('Hd'); 'xxaxx'.lstrip('x')
'xxaxx'.rstrip('x'); s.find('W'); s.find('zz'); s.index('zz'); s.rfind('l'); s.count('l'); s.replace('l','L')
s.replace('','-'); '-'.join(['a','b']); '-'.join([1]); ','.join('abc'); 'a-b-c'.partition('-')
'a-b-c'.rpartition('-'); 'abc'.partition('x'); 'a\nb\r\nc\x0bd'.splitlines(); 'a\nb'.splitlines(true)
'ab'.center(7,'*'); 'ab'.ljust(5)~'|'; 'ab'.rjust(5); '42'.zfill(5); '-42'.zfill(5); 'abc'.isalpha(); '12'.isdigit()
'²'.isdigit(); '²'.isdecimal(); '½'.isnumeric(); ' '.isspace(); ''.isspace(); 'Ab'.istitle(); 'ab'.islower()
'AB'.isupper(); 'a1'.isalnum(); 'a_1'.isidentifier(); 'a\tb'.expandtabs(4); 'abc'.removeprefix('a')
'abc'.removesuffix('c'); s.capitalize(); s.title(); "they're bill's".title(); "they're bill's"|title
'%s %r %d %5.2f|%-5s|%05d|%x|%X|%o|%e|%g|%%|%c|%+d|% d' % ('a','b',3,2.345,'ab',42,255,255,8,12345.678,0.0001,'z',5,5)
'%s' % 'x'; '%s' % [1]; '%s' % (1,); '%(a)s' % {'a':1}; '%d' % 3.7; '%d' % 'x'; '%s %s' % ('a',); 'x' % 'y'; 'x' % []
'%.2s|%5.1s|' % ('abc','abc'); '%*d' % (5,3); '%.3d' % 5; '%i' % t; '%s' % none; '%#x' % 255
'{} {}'.format(1,2); '{0} {1} {0}'.format(1,2); '{a}'.format(a=1); '{a.b} {a[b]}'.format(a=d)
'{:>5}|{:<5}|{:^5}|{:*^7}'.format(1,2,3,'x')
'{:05d} {:,} {:.2f} {:e} {:%} {:x} {:#x} {:b} {:+d}'.format(42,1234567,3.14159,12345.0,0.25,255,255,5,3)
'{!r} {!s}'.format('a','b'); '{{}}'.format(); '{:{}}'.format('a',5); '{:.3}'.format(123.0); '{:.3}'.format(12.0)
'{:.3}'.format(1e10); '{:g}'.format(1e10); '{}'.format(none); '{:5}'.format(none); '{} {0}'.format(1); '{5}'.format(1)
'{x}'.format(1); '{:.2}'.format('abc'); '{:_}'.format(1234567); '{:,.2f}'.format(1234567.891)
'{:10.3f}|'.format(3.14159); '{0[1]}'.format([1,2]); '{:c}'.format(65); '{:s}'.format(1); '{:d}'.format('x')
'{:.0f}'.format(2.5); '{:5}|'.format(t); '{:d}'.format(t)
range(5)|list; range(1,5)|list; range(5,0,-2)|list; range(0); range(3); range(1,10,3); range(5)[1]; range(5)[-1]
range(5)[1:3]; range(5)[::-1]|list; range(5)|length; 3 in range(5); range(200000)|length; range(100000)|length
range('x'); range(1,2,0); range(5)|last; range(5)|reverse|list; range(3) == range(0,3); range(); range(undefd)
dict(a=1,b=2); dict({'a':1},c=3); dict([('a',1)]); dict(); namespace(a=1).a; namespace(a=1); namespace({'a':1}).a
namespace(_a=1); dict.fromkeys(['a','b']); dict.fromkeys('ab',0); cycler('a','b').next(); joiner()()
raise_exception('boom'); raise_exception(); strftime_now('%Y-%m-%d %H:%M:%S %A %B %j %d %b %-d %p %I %f|%z|%Z|%%')
strftime_now('%Q'); strftime_now('')
[1,2,][0]; {'a':1,}.a; (1,)[0]; (); []; {}; [[],{},()]; 'a' 'b'; "it's"; 'say "hi"'
["it's", 'say "hi"', "both ' and \""]; ['\n\t\\\x01é\u2028']; [1.0, true, none, undefd]; {'a': {'b': (1,)}}; 'a\qb'
'\101\x41\u0041'; '\é'; 1_000; 0x1F; 0b11; 0o17; 1.5e3; 00; 1__0; 1.e5; .5; 5.; d.0; l.0; l.0.real
l[0:2][0]; l['a']; l[none]; l[1.0]; l[t]; s['upper'](); d[['x']]; d[1]; d[(1,2)]; {(1,2):3}[(1,2)]; {1:'a'}[1.0]
{1:'a'}[t]; {'a':1}[undefd]; s[100]; s[-100]; s[1:100]; s[undefd]; undefd[1:]; d[1:]; n[1:]; l[::0]; l['a':]
l[none:2]; ll[0][1]; ll[-1][-1]
s is string and n; (s, n)[1]; s if n > 3 else none; [x for x in l]; l.index(1); l.count(1); l.index(99)
(1,2).index(2); l.copy(); l|length > 2 and s; not not t; n.bit_length(); f.is_integer(); f.real; n.real; n.imag
n.numerator; users[0].x.y; users[0]['x']['y']; users|length; 'a' 'b' ~ 'c'; s|default('x'); undefd|default('x')
undefd|d; e|default('x', true); none|default('x'); none|default('x', boolean=true); undefd|default(undefd2)
d|attr('b')
s|urlencode; 'a b/c?d=é&'|urlencode; {'a b':'c/d','e':1}|urlencode; [('x','y z')]|urlencode; s|nofilter; s is notest
s|upper|nofilter; l|map('nofilter')|list; l|select('notest')|list; s|upper(1); s|replace('a'); s|join(1,2,3)
l|map('default', 1)|list; users|map('tojson')|join('|'); l|map('round', precision=1)|list; users|map(attribute=0)|list
ll|map(attribute=1)|list; ll|map('first')|list; ll|map('last')|join
l|select('odd')|length; (l|select('odd')).x; l|map('abs') is iterable; l|map('abs') is sequence; (l|map('abs'))[0]
l|reverse|length; l|reverse|first; l|select('odd')|last; l|select('odd')|reverse|list; 1 in l|map('abs')
none|map('abs')|list; 5|map('abs')|list; 5|list; none|list; 5|join; none|join; none|length; 5|length; none|first
none|sort; undefd|list; undefd|join; undefd|length; undefd|sort; undefd|sum; undefd|first; undefd|last
undefd|items|list; undefd|dictsort; undefd|upper; undefd|trim; undefd|string; undefd|map('x')|list
undefd|reverse|list; 5|items|list; [1,'a']|sort; [none,1]|sort; [none,1]|max; ['b','A','c']|sort
['b','A','c']|sort(case_sensitive=true); ['b','A','c']|max; ['b','A','c']|min(true); [[2],[1]]|sort; 'hello'|sort
'hello'|unique|join; 'hello'|first; 'hello'|last; d|first; d|last; d|max; d.values()|list; d.items()|first
d.keys()|sort
d.items()|length; d.keys()[0]; 'b' in d.keys(); 1 in d.values(); ('b',1) in d.items(); d.keys() == d.keys()
d.items()|map('first')|list; d.items()|sort|list; none|upper; 5|upper; 5|trim; 5|string; none|string; t|string
5|capitalize; l|string; l|upper; 5|title; 5|replace('5','6'); none|replace('None','x'); 5|indent; none|indent
5|wordcount; 5|center(5); s|string|upper; undefd ~ 'x'; undefd + 'x'; 'x' + undefd; undefd + undefd2; undefd * 2
2 * undefd; undefd - 1; undefd < 1; 1 < undefd; undefd in l; undefd in s; 'a' in undefd; undefd|abs; undefd|round
undefd|float; -undefd; undefd is odd; undefd is upper; 'a' % undefd; '%s' % undefd; undefd % 2; undefd is eq undefd2
undefd is none; undefd == ''; undefd != none; [undefd]; [undefd] == [undefd2]; none in [undefd]; {undefd: 1}
undefd and x; undefd or 'y'; 'a' if undefd else 'b'; undefd is callable; undefd|tojson
"""

VARS = {"s":"Hello, Wörld","e":"","n":5,"neg":-7,"f":2.5,"t":True,"fl":False,"none":None,"l":[3,1,2],"ll":[[1,"a"],[2,"b"]],"d":{"b":1,"a":"x","items":3},
 "msgs":[{"role":"system","content":"sys"},{"role":"user","content":" hi "},{"role":"assistant","content":"yo","tool_calls":[{"function":{"name":"f","arguments":{"x":1.5,"y":[1,2,None,True]}}}]}],
 "uni":"ß İ ŉ ǆ Σας ΑΣ ﬁ","ws":" \u00a0\u2003x\u3000\n","emoji":"a😀b","users":[{"name":"bob","age":3,"x":{"y":1}},{"name":"Al","age":10,"x":{"y":2}},{"name":"al","age":3,"x":{}}]}

# Templates, one a line, over TEMPLATE_VARS.
TEMPLATES = r"""
{% for i in l %}{{ i }}{% endfor %}
{% for i in l %}{{ loop.index }}{{ loop.index0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.previtem }}{{ loop.nextitem }}{{ loop.cycle('a','b') }}{{ loop.depth }}{{ loop.depth0 }}{{ loop.changed(i) }};{% endfor %}
{% for i in e %}x{% else %}empty{% endfor %}
{% for i in l %}x{% else %}empty{% endfor %}
{% for i in l %}{% break %}{% else %}ELSE{% endfor %}
{% for i in l %}{% if i == 1 %}{% break %}{% endif %}{{ i }}{% else %}ELSE{% endfor %}
{% for i in l %}{% continue %}{% else %}ELSE{% endfor %}
{% for i in l if i > 1 %}{{ i }}{{ loop.index }}{{ loop.length }}{{ loop.last }}{% endfor %}
{% for i in l if i > 5 %}{{ i }}{% else %}none{% endfor %}
{% for k, v in d.items() %}{{ k }}={{ v }},{% endfor %}
{% for k, v in d|items %}{{ k }}={{ v }}{{ loop.last }},{% endfor %}
{% for a, b in [(1,2),(3,4)] %}{{ a }}{{ b }}{% endfor %}
{% for a, (b, c) in [(1,(2,3))] %}{{ a }}{{ b }}{{ c }}{% endfor %}
{% for a, b in [(1,2,3)] %}{{ a }}{% endfor %}
{% for a, b in [(1,)] %}{{ a }}{% endfor %}
{% for a, b in [1] %}{{ a }}{% endfor %}
{% for a, b in ['xy'] %}{{ a }}-{{ b }}{% endfor %}
{% for i in 5 %}{% endfor %}
{% for i in undefd %}x{% else %}E{% endfor %}
{% for i in none %}x{% endfor %}
{% for c in 'héy' %}{{ c }}.{% endfor %}
{% for i in d %}{{ i }}{% endfor %}
{% for i in range(3) %}{% for j in range(2) %}{{ loop.index }}{{ i }}{{ j }} {% endfor %}{{ loop.index }}{% endfor %}
{% for n in tree recursive %}{{ n.n }}[{{ loop.depth }}{% if n.c %}{{ loop(n.c) }}{% endif %}]{% endfor %}
{% for n in tree recursive %}{{ n.n }}{{ loop(n.c) if n.c else 'leaf' }}{% else %}EMPTY{% endfor %}
{% for n in l %}{{ loop(l) }}{% endfor %}
{% for loop in l %}{% endfor %}
{% for i in l %}{% set loop = 1 %}{% endfor %}
{% set loop = 1 %}{{ loop }}
{{ loop }}{% for i in l %}{{ loop.foo }}|{% endfor %}
{% for i in l %}{{ loop }}{% endfor %}
{% if t %}a{% elif x %}b{% else %}c{% endif %}
{% if not t %}a{% elif not x %}b{% else %}c{% endif %}
{% if not t %}a{% elif x %}b{% elif s %}d{% endif %}
{% if t, %}a{% endif %}
{% set y = 1 %}{{ y }}
{% set y, z = 1, 2 %}{{ y }}{{ z }}
{% set (y, z) = (1, 2) %}{{ y }}{{ z }}
{% set y %}block {{ x }}{% endset %}{{ y }}
{% set y | upper %}block {{ x }}{% endset %}{{ y }}
{% set y | upper | replace('B','Q') | length %}block {{ x }}{% endset %}{{ y + 1 }}
{% set x %}[{{ x }}]{% endset %}{{ x }}
{% set x = x + 'y' %}{{ x }}
{% for i in l %}{% set x = x ~ i %}{{ x }},{% endfor %}{{ x }}
{% for i in l %}{{ x }}{% set x = i %}{{ x }},{% endfor %}
{% for i in l %}{% if i == 1 %}{% set x = 'in' %}{% endif %}{{ x }},{% endfor %}{{ x }}
{% if t %}{% set x = 'in' %}{% endif %}{{ x }}
{% if not t %}{% set x = 'in' %}{% endif %}{{ x }}
{% if not t %}{% set q = 'in' %}{% endif %}{{ q }}|{{ q is defined }}
{% for i in [1] %}{{ x }}{% endfor %}{% set x = 1 %}{{ x }}
{% for i in [1] %}{% for j in [1] %}{{ x }}{% endfor %}{% set x = 1 %}{{ x }}{% endfor %}
{% for i in [1] %}{% for j in [1] %}{{ x }}{% endfor %}{% if t %}{% set x = 1 %}{% endif %}{{ x }}{% endfor %}
{% set ns = namespace(c=0) %}{% for i in l %}{% set ns.c = ns.c + i %}{% endfor %}{{ ns.c }}
{% set ns = namespace() %}{% set ns.a, ns.b = 1, 2 %}{{ ns.a }}{{ ns.b }}{{ ns.zz }}{{ ns['a'] }}
{% set ns = namespace(a=1) %}{% set ns.self = ns %}{{ ns }}
{% set ns = namespace(found=false) %}{% for i in l if not ns.found %}{{ i }}{% set ns.found = true %}{% endfor %}
{% set ns = namespace(found=false) %}{% for i in l if not ns.found %}{{ i }}{{ loop.last }}{% set ns.found = true %}{% endfor %}
{% set d.x = 1 %}
{% set undefd.x = 1 %}
{% set ns = namespace() %}{% set ns._x = 1 %}
{% set ns = namespace() %}{% set ns.x %}blk{{ 1 }}{% endset %}{{ ns.x }}
{% macro m(a, b=2, c='z') %}{{ a }}{{ b }}{{ c }}{% endmacro %}{{ m(1) }}|{{ m(1, c=5) }}|{{ m(b=1) }}|{{ m(1,2,3) }}
{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1,2) }}
{% macro m(a) %}{{ a }}{% endmacro %}{{ m(b=2) }}
{% macro m(a) %}{{ a }}{{ kwargs }}{{ varargs }}{% endmacro %}{{ m(1,2,3,x=4) }}{{ m.name }}{{ m.arguments }}{{ m.catch_kwargs }}{{ m.catch_varargs }}{{ m.caller }}{{ m }}
{% macro m(a, b=a) %}{{ a }}{{ b }}{% endmacro %}{{ m(1) }}
{% macro m(a=b, b=2) %}{{ a }}{{ b }}{% endmacro %}{{ m() }}
{% macro m(x=x) %}{{ x }}{% endmacro %}{{ m() }}
{% macro m() %}{{ x }}{% set x = 5 %}{{ x }}{% endmacro %}{{ m() }}{{ x }}
{% macro m() %}{{ later }}{% endmacro %}{{ m() }}{% set later = 3 %}{{ m() }}
{% macro fact(n) %}{% if n <= 1 %}1{% else %}{{ n * fact(n-1)|int }}{% endif %}{% endmacro %}{{ fact(5) }}
{% macro m() %}{{ caller() }}{% endmacro %}{% call m() %}body {{ x }}{% endcall %}
{% macro m() %}{{ caller(1, 2) }}{% endmacro %}{% call(a, b) m() %}{{ a }}{{ b }}{% endcall %}
{% macro m() %}no{% endmacro %}{% call m() %}body{% endcall %}
{% macro m() %}{{ caller is defined }}{{ caller }}{% endmacro %}{{ m() }}
{% macro m() %}{{ caller() }}{% endmacro %}{{ m() }}
{% macro m(caller=none) %}{{ caller }}{% endmacro %}{{ m() }}
{% macro m(caller) %}{{ caller }}{% endmacro %}{{ m() }}
{% macro m() %}{{ kwargs.caller is defined }}{{ caller() }}{% endmacro %}{% call m() %}b{% endcall %}
{% for i in l %}{% macro m() %}{{ i }}{{ loop.index }}{% endmacro %}{{ m() }}{% endfor %}{{ m }}
{% macro a() %}{% macro b() %}inner{% endmacro %}{{ b() }}{% endmacro %}{{ a() }}{{ b is defined }}
{% macro m() %}{% for i in l %}{{ i }}{% endfor %}{% endmacro %}{{ m() ~ m() }}{{ m()|upper }}{{ m()|length }}
{% filter upper %}abc {{ x }}{% endfilter %}
{% filter replace('a','b')|upper %}aaa{% set x = 1 %}{{ x }}{% endfilter %}{{ x }}
{% with %}{% set x = 1 %}{{ x }}{% endwith %}{{ x }}
{% with a = 1, b = x %}{{ a }}{{ b }}{% endwith %}{{ a }}
{% with x = 1, y = x %}{{ x }}{{ y }}{% endwith %}
{% raw %}{{ x }}{% if %}{% endraw %}
{%- raw -%}  {{ x }}  {%- endraw -%}  z
{% raw %}
a
{% endraw %}
b
{# comment #}a{#- c -#}  b {#+ x +#}
  {# comment #}
a
{% print x, 1 %}
{% generation %}abc{{ x }}{% set x = 2 %}{% endgeneration %}{{ x }}
{% for m in msgs %}{% generation %}{{ m.content }}{{ loop.index }}{% endgeneration %}{% endfor %}
{% for i in l %}{% generation %}{% break %}{% endgeneration %}{% endfor %}
{% break %}
{% macro m() %}{% break %}{% endmacro %}
{% for i in l %}{% set q %}{{ i }}{% continue %}{% endset %}{{ q }}{% endfor %}.
{% for i in l %}{% filter upper %}a{% if i==1 %}{% break %}{% endif %}{% endfilter %}{% endfor %}.
{% for i in [] %}{% else %}{% break %}{% endfor %}
{% for j in l %}{% for i in [] %}{% else %}{{ j }}{% break %}{% endfor %}{% endfor %}
{% include 'x' %}
{% foo %}
{% endif %}
{% if x %}
{% for x in y %}{% endif %}
{{ x
{{ x }
{{ }}
{% if %}{% endif %}
{{ 'abc }}
{# abc
{% raw %}abc
{{ x|nofilter }}
{% if not t %}{{ x|nofilter }}{% endif %}ok
{% if not t %}{% for i in l %}{{ x|nofilter }}{% endfor %}{% endif %}ok
{% if t %}{{ x|nofilter }}{% endif %}ok
{% if not t %}{{ x is notest }}{% endif %}ok
{{ 1 if t else x|nofilter }}
{{ x is notest }}
{{ (1, 2) }}{{ 1, 2 }}{{ () }}{{ (1,) }}
{{ x }}}
{{ {'a': {'b': 1}}['a']['b'] }}
{{ {'a': 1}}}
{{ [1,2}}
{% set x = [1,2 %}
{% set a = 1 %}{% set b = a + 1 %}{{ b }}{% set a = 10 %}{{ b }}
{% set x = 'a' if t else 'b' %}{{ x }}
{% if x is defined and x is string and 'c' in x %}Y{% endif %}
{% if x.startswith('c') and not x.endswith('q') %}Y{% endif %}
{% for m in msgs %}{% if loop.previtem and loop.previtem.role != m.role %}{{ m.role }}{% endif %}{% endfor %}
{% for m in msgs[::-1] %}{{ m.content }}{{ loop.index0 }}{% endfor %}
{% for m in msgs|reverse %}{{ m.content }}{{ loop.length }}{% endfor %}
{% for m in msgs|selectattr('role','equalto','user') %}{{ m.content }}{{ loop.last }}{% endfor %}
{% set g = l|map('string') %}{{ g|join }}-{{ g|join }}
{% set g = l|map('string') %}{% for i in g %}{{ i }}{% break %}{% endfor %}{{ g|list }}
{% set g = l|map('string') %}{% for i in g %}{{ i }}{{ loop.last }}{% break %}{% endfor %}{{ g|list }}
{% set g = l|map('string') %}{% for i in g %}{{ i }}{{ loop.length }}{{ loop.index }}{% endfor %}{{ g|list }}
{% set c = cycler('a','b') %}{{ c.next() }}{{ c.next() }}{{ c.next() }}{{ c.current }}{{ c.reset() }}{{ c.current }}
{% set j = joiner('; ') %}{% for i in l %}{{ j() }}{{ i }}{% endfor %}
{% macro m(a, a) %}{{ a }}{% endmacro %}{{ m(1,2) }}
{{ dict(a=1, **{'b': 2}) }}{{ dict(*[[('c',3)]]) }}
{{ range(*[1,4])|list }}
{{ m(a=1, 2) }}
{{ dict(a=1, a=2) }}
{% set __x = 1 %}{{ __x }}
{% set true = 1 %}
{% set 1 = 2 %}
{% set x.y.z = 2 %}
{% set [a] = [1] %}
{{ "a" "b" }}
{{ - 1 }}{{ -1|abs }}{{ (-1)|abs }}{{ 2|float ** 2 }}
{{ not x == 'ctx' }}{{ not 1 in l }}{{ 1 not in l }}
{{ x is not none is defined }}
{{ x if x }}{{ x if false }}
{{ 'a' ~ 1 + 2 }}{{ 1 + 2 ~ 'a' }}{{ 1 ~ 2 * 3 }}
{{ [1,2,3][0:2] | join(',') }}
{{ foo.bar.baz }}
{{ foo.bar }}
{{ msgs[0]['content'] + msgs[1].content }}
{{ msgs[5].content }}
{{ '%s' | format(x) }}{{ "%s" % x }}
{% if (msgs|length) % 2 == 0 %}even{% endif %}
{% if loop is defined %}L{% endif %}{% for i in l %}{% if loop is defined %}L{% endif %}{% endfor %}
{%if t%}a{%endif%}{%- if t -%} b {%- endif -%}
{{x}}{{-x-}} {{- x -}} z
{% set a = 'q' -%}   z
{%+ if t %}a{%+ endif %}
{% if t +%}
a{% endif %}
{% for i in l: %}{{ i }}{% endfor %}
{% if t: %}a{% endif %}
{% set x = namespace(**{'a': 1}) %}{{ x.a }}
{{ raise_exception('a\nb') }}
{% do x %}
{% trans %}{% endtrans %}
{%- for i in l -%}
  {{ i }}
{%- endfor -%}
{{ x.y.z }}
{{ 1.5.real }}{{ l.0 }}{{ l.0.real }}
{{ x|upper|lower|title }}
{{ (x ~ 'a').upper() }}
{{ {}.x }}{{ {}.x.y }}
"""

# Templates over several lines: white space.
LAYOUTS = r"""
a
  {% if t %}
    b
  {% endif %}
c
=====
  {%- if t %}
    b
  {%- endif %}
c
=====
  {% if t -%}
    b
  {% endif -%}
  
c
=====
  {%+ if t %}
    b
  {%+ endif +%}
c
=====
{% for i in l %}
  {{ i }}
  {{- i }}
  {{ i -}}
  x
{% endfor %}

=====
a {% if t %} b {% endif %} c
  d{% if t %}
e{% endif %}
=====
{# c1 #}
  {# c2 #}
x {# c3 #}
  {#- c4 -#}  
y
=====
{% set x = 1 %}


z
=====
	{% set x = 1 %}	
	z
=====
{% raw %}
  {% a %}
{% endraw %}
  {% raw -%}
  q
  {%- endraw %}
z
=====
    {% raw %} x
    {% endraw %}
  z
=====
a

{{ x }}

=====
{{ "a\nb" }}
{{ 'multi
line' }}
=====
{%
  if t
%}
a
{%
 endif
%}
=====
{{-  x  -}}

   {{ x }}
=====
 　{% if t %}a{% endif %}
  {% if t %}b{% endif %}
""".strip("\n").split("=====\n")

TEMPLATE_VARS = {"l":[3,1,2],"d":{"b":1,"a":2},"s":"str","t":True,"e":[],"tree":[{"n":1,"c":[{"n":2,"c":[]},{"n":3,"c":[{"n":4}]}]}],"x":"ctx","msgs":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]}

# Odd ends of templates.
SCRAPS = ["", "\n", "\n\n", "a\n", "a\n\n", " ", "{{ x }}\n", "{% if t %}\n{% endif %}\n", "{% if t %}\n\n{% endif %}\n\n", "{", "{{", "{%", "{#",
          "a{", "}}", "%}", "#}", "{}", "{ {x} }", "{%%}", "{{}}", "{##}", "{#-#}", "{#-  -#}a", "{%-%}", "\x00a\x00{{ '\\0' }}",
          "{{ '\u2028' }}\u2028\n{% if t %}a{% endif %}", "\ufeff{{ x }}", "é{{ é }}", "{{ ü|default(1) }}", "{{ x\u00a0 }}"]

# The interpreter refuses these with GWEN_ERR_UNSUPPORTED; jinja2 has most of them.
UNSUPPORTED = ["{% block a %}{% endblock %}", "{% include 'x' %}", "{% import 'x' as y %}", "{% from 'x' import y %}", "{% extends 'x' %}",
               "{% autoescape true %}{% endautoescape %}", "{{ 10 ** 19 }}", "{{ 9223372036854775807 + 1 }}", "{{ 'x'.encode() }}", "{{ lipsum() }}",
               "{{ s|urlize }}", "{{ [1]|random }}", "{{ s|pprint }}", "{{ s|nosuchfilter }}", "{{ s is nosuchtest }}", "{{ (-8) ** 0.5 }}",
               "{{ '\\N{BULLET}' }}", "{{ {}.items }}", "{{ [1]|map('string') }}", "{{ '%a' % 1 }}", "{{ '{!a}'.format(1) }}", "{{ s|wordwrap }}"]
